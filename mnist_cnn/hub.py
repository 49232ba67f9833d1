"""Between a weights folder and the Hugging Face Hub: fetch one, push one."""
import re
from pathlib import Path
def fetch(source, **kw):
    return Path(source), str(source)
