"""What reading a file takes."""

import subprocess
import sys
from pathlib import Path


def memory_for(path: Path, name: str) -> int:
    """The bytes that reading a file takes at most, Arrow's included: of a process of its own."""
    reading = """
import re, sys
from pathlib import Path
from services.executor.ingest.csv_reader import CsvOptions
from services.executor.ingest.errors import RefusedFileError
from services.executor.ingest.readers import open_reader

def kilobytes(what):
    return int(re.search(what + r":\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1))

before = kilobytes("VmRSS")
try:
    for _ in open_reader(Path(sys.argv[1]), sys.argv[2], None, CsvOptions()).batches():
        pass
except RefusedFileError:
    pass
print((kilobytes("VmHWM") - before) * 1024)
"""
    command = [sys.executable, "-c", reading, str(path), name]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
