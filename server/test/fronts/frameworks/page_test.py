"""What docs/FRONTS.md shows of frameworks runs as it stands there."""

import subprocess
import sys

import pytest
import snippets


@pytest.mark.parametrize("number", range(4))
def test_snippet(server, tmp_path, number):
    script = tmp_path / "snippet.py"
    script.write_text(snippets.meant_for(server, snippets.of("Frameworks", "python")[number]))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1:] == ["Hello"], done.stderr
