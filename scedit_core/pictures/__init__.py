"""Pictures that say something: plots and sheets, drawn with Pillow."""
