"""Parts of the training of models/austen; the command is tools/reference/train_austen.py."""
