"""Jobs: a training from a file, in processes of its own with ComfyUI as a library; train.py starts them."""
