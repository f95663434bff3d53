import subprocess
import sys

from orchestration.settings import PROJECT_ROOT


def test_set_up_runs_under_a_python_that_has_nothing_installed() -> None:
    """-S leaves out site-packages, as on a machine where set-up has not run yet."""
    code = (
        "import sys; import orchestration.engines.install.__main__;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )
    result = subprocess.run(
        [sys.executable, "-S", "-E", "-c", code], check=True, capture_output=True, text=True, cwd=PROJECT_ROOT
    )
    assert set(result.stdout.split()) <= {"__main__", "orchestration"}
