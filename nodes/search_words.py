"""Words that find a node in the search, beside its name: what people type, in several languages."""

from collections.abc import Mapping

# every node is found by "scedit" too
WORDS: Mapping[str, str] = {
    "SCEditLoadSCTuner": "sc tuner, style tuner, scepter, 加载微调器, 风格",
    "SCEditLoadCSCTuner": (
        "csc tuner, controlnet, t2i adapter, canny, color, depth, hed, openpose, inpaint, scepter, "
        "加载控制器, 控制, 线稿, 制御"
    ),
    "SCEditTunerInfo": "metadata, sha256, inspect, model info, 查看信息, 元数据",
    "SCEditConvertTuner": "convert, safetensors, pickle, export, 转换, 转换格式",
    "SCEditApplySCTuner": "style, lora, sc tuner, 应用微调器, 风格, スタイル, 스타일",
    "SCEditApplyCSCTuner": "controlnet, apply controlnet, t2i adapter, canny, csc tuner, 应用控制, 制御",
    "SCEditCondition": "multi controlnet, control stack, 条件, 制御",
    "SCEditComposeConditions": "multi controlnet, combine controls, blend, 多条件组合",
    "SCEditMixConditions": (
        "multi controlnet, mixer, blend, weights, slider, xy pad, 混合, 权重, 多条件组合, 混ぜる, 重み, 혼합"
    ),
    "SCEditBlendConditions": (
        "travel, morph, interpolate, transition, crossfade, strip, 过渡, 插值, 混合, 補間, 모핑"
    ),
    "SCEditStyleCondition": "style mix, style blend, sc tuner, 风格条件, 风格混合, スタイル, 스타일",
    "SCEditApplyConditions": "controlnet, multi controlnet, apply controls, 应用条件, 制御",
    "SCEditApplyToPrompt": (
        "controlnet, apply controlnet, regional, conditioning, prompt, negative prompt, 提示词, 区域控制, "
        "プロンプト"
    ),
    "SCEditEvaluateTuner": (
        "test tuner, benchmark, metrics, score, f1, ssim, miou, quality, 评估, 测试, 评测, 指标, 評価, 평가"
    ),
    "SCEditSchedule": "strength over time, keyframes, timesteps, fade, curve, 强度变化, 时间表, スケジュール",
    "SCEditCompareSheet": (
        "image grid, contact sheet, side by side, compare images, xy plot, montage, labels, 对比, 拼图, "
        "网格, 比較, グリッド, 비교, 격자"
    ),
    "SCEditSkipAnalysis": (
        "skip connections, u-net, blocks, feature map, variance, histogram, freeu, 跳跃连接, 分析, "
        "特征图, スキップ接続, 스킵 연결"
    ),
    "SCEditCanny": "canny edge, preprocessor, 线稿, 边缘检测, 線画, エッジ",
    "SCEditColor": "color palette, colour, preprocessor, 颜色, 色块, 色",
    "SCEditMaskedImage": "inpaint, cut out, mask, preprocessor, 局部重绘, 遮罩, マスク",
    "SCEditHED": "soft edge, hed, scribble, preprocessor, 软边缘, 边缘检测",
    "SCEditDepth": "midas, depth map, preprocessor, 深度, 深度图",
    "SCEditPose": "openpose, skeleton, preprocessor, 姿态, 骨架, ポーズ",
    "SCEditSegmentation": "ade20k, uniformer, upernet, preprocessor, 语义分割",
    "SCEditSketch": "scribble, drawing, lineart, line art, preprocessor, 草图, 手绘, 线稿, 線画",
    "SCEditRandomMask": "lama mask, inpaint, random mask, 随机遮罩, 局部重绘, マスク",
    "SCEditOutpaint": "pad image, extend, uncrop, 扩图, 外补",
    "SCEditPreprocess": (
        "preprocessor, annotator, aux, canny, color, inpaint, sketch, lineart, soft edge, depth, "
        "openpose, segmentation, 预处理器, 线稿, 深度图, 姿态, 線画, ポーズ"
    ),
    "SCEditTrainingFolder": "dataset, load folder, captions, bucket, 训练集, 数据集, 学習",
    "SCEditDrawPictures": (
        "generate dataset, synthetic pictures, self-generated, distillation, regularization images, class "
        "images, 生成训练图, 蒸馏, 正则化图像, 数据集, 生成画像, 蒸留, 학습 이미지 생성"
    ),
    "SCEditPrepareDataset": (
        "dataset, webdataset, tar shards, cache latents, csv, jsonl, buckets, large training set, 数据集, "
        "训练集, 预处理, データセット, 데이터셋"
    ),
    "SCEditTrainSCTuner": "train lora, fine-tune, few-shot, 训练, 微调, 风格训练, 学習, 학습",
    "SCEditTrainCSCTuner": "train controlnet, control training, 训练控制, 控制器训练, 学習, 학습",
    "SCEditExportTrainingJob": (
        "train on cluster, multi gpu, torchrun, distributed, accelerate, slurm, 导出训练任务, 多卡训练, "
        "分布式, 学習, 학습"
    ),
    "SCEditWatchTrainingJob": (
        "training progress, monitor, loss curve, tensorboard, cluster, 训练进度, 监控, 损失曲线, 学習, 학습"
    ),
    "SCEditSaveTuner": "save lora, export tuner, 保存, 保存微调器",
}
