"""The pack's ComfyUI nodes."""

from comfy_api.latest import ComfyExtension, io

from .analysis.node import SCEditSkipAnalysis
from .apply import SCEditApplyCSCTuner, SCEditApplySCTuner
from .blend import SCEditBlendConditions, SCEditStyleCondition
from .checks import checked
from .compare import SCEditCompareSheet
from .compose import SCEditApplyConditions, SCEditApplyToPrompt, SCEditComposeConditions, SCEditCondition
from .evaluation.node import SCEditEvaluateTuner
from .files.convert import SCEditConvertTuner
from .files.folders import register_annotator_folder, register_tuner_folder
from .files.info import SCEditTunerInfo
from .files.load import SCEditLoadCSCTuner, SCEditLoadSCTuner
from .files.save import SCEditSaveTuner
from .hints.masks import SCEditOutpaint, SCEditRandomMask
from .hints.nodes import HINT_NODES, SCEditPreprocess
from .mix import SCEditMixConditions
from .schedules.node import SCEditSchedule
from .training.draw_pictures import SCEditDrawPictures
from .training.export_job import SCEditExportTrainingJob
from .training.folder import SCEditTrainingFolder
from .training.nodes import SCEditTrainCSCTuner, SCEditTrainSCTuner
from .training.prepare import SCEditPrepareDataset
from .training.watch_job import SCEditWatchTrainingJob

NODES: list[type[io.ComfyNode]] = [
    SCEditLoadSCTuner,
    SCEditLoadCSCTuner,
    SCEditTunerInfo,
    SCEditConvertTuner,
    SCEditApplySCTuner,
    SCEditApplyCSCTuner,
    SCEditCondition,
    SCEditComposeConditions,
    SCEditMixConditions,
    SCEditBlendConditions,
    SCEditStyleCondition,
    SCEditApplyConditions,
    SCEditApplyToPrompt,
    SCEditSchedule,
    SCEditCompareSheet,
    SCEditSkipAnalysis,
    SCEditEvaluateTuner,
    *HINT_NODES,
    SCEditRandomMask,
    SCEditOutpaint,
    SCEditPreprocess,
    SCEditTrainingFolder,
    SCEditDrawPictures,
    SCEditPrepareDataset,
    SCEditTrainSCTuner,
    SCEditTrainCSCTuner,
    SCEditSaveTuner,
    SCEditExportTrainingJob,
    SCEditWatchTrainingJob,
]
for node in NODES:
    checked(node)


class SCEditExtension(ComfyExtension):
    """What ComfyUI asks for when it loads the pack."""

    async def on_load(self) -> None:
        """Make the model folders known before any node lists them."""
        register_tuner_folder()
        register_annotator_folder()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All nodes of the pack."""
        return NODES


async def comfy_entrypoint() -> SCEditExtension:
    """Entry point that ComfyUI calls once at start."""
    return SCEditExtension()
