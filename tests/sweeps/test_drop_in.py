"""The method of CONTRIBUTING.md, dropped into a copy of the code, appears in a suite and in the tables."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent.parent
CODE = ("run.py", "configs", "methods", "datamodules", "training", "sweeps", "results", "analysis")
COMMANDS = """
import sys
import sweeps.suite, analysis.__main__
sys.argv = ["suite", *sys.argv[1:]]
assert sweeps.suite.main() == 0
sys.argv = ["analysis", "--tables-only"]
assert analysis.__main__.main() == 0
"""


@pytest.mark.slow
def test_a_new_file_is_all_it_takes(tmp_path):
    for name in CODE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("runs", "tables", "__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
    (tmp_path / "methods/tanhsign.py").write_text(example)
    size = ["net.width=8", "net.depth=1", "epochs=1", "trials=1", "device=cpu", "compile=false"]
    words = ["suite=digits", "label=mine", "methods=[ste,tanhsign]", "replicates=2", "runs=1", *size]
    command = [sys.executable, "-c", COMMANDS, *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^  tanhsign +untuned +2/2 +done$", done.stdout, re.M)
    table = pd.read_csv(tmp_path / "analysis/tables/suite_mine.csv").set_index("method")
    assert set(table.index) == {"ste", "tanhsign"}
    assert table["replicates"].tolist() == [2, 2]
    assert table.loc["tanhsign", "95 % interval, all methods together"].count("to") == 1
