"""The web app: `python app.py`, or `mnist-cnn app` where the package is installed.

Draw a digit or send pictures; see the answers and why. Programs use the same server. What the page
holds is in mnist_cnn/web/page/, who is answered in mnist_cnn/web/server/, and what visitors may do
in mnist_cnn/web/settings.py.
"""

import sys

from mnist_cnn.web import main

if __name__ == "__main__":
    sys.exit(main())
