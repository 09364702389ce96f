"""What a wheel carries works outside the repository."""

import os
import subprocess
import sys
import zipfile

from tests import ROOT


def test_a_wheel_carries_the_zoo_and_the_templates(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    code = (
        "import saq_eval, sys; assert saq_eval.__file__.startswith(sys.argv[1]), saq_eval.__file__;"
        "saq_eval.compare('digits', models=['cnn-w2a2'], samples=2, methods=['saliency'], metrics=['SSIM'],"
        " output='report', progress=False)"
    )
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    subprocess.run([sys.executable, "-c", code, str(installed)], check=True, cwd=tmp_path, env=environment)
    assert (tmp_path / "report" / "report.html").is_file()
