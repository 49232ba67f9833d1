"""Train a network: `python train.py [--recipe NAME] [--dataset NAME] [--data-dir DIR] [--out DIR]`.

Several processes or GPUs: `accelerate launch train.py …`. A run folder holds what a Hub repo holds
(config.json, model.safetensors, report.json, augmentation.json, README.md, pictures and
report.html), and checkpoints/ to resume from. The loop is in mnist_cnn/training/loop.py.
"""

import sys

from mnist_cnn.training import main

if __name__ == "__main__":
    sys.exit(main())
