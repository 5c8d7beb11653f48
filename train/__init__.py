"""Training side of Tessera: reference layers, tokenizer, recipe and export of the model that ships in `models/`.

Needs PyTorch (1.13 or newer) and numpy; never needed to build, run or test the C++ program.
"""
