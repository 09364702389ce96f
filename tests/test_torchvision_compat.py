import subprocess
import sys


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_torchvision_and_quantus_import_whichever_torch_build_is_installed():
    code = (
        "from saq_eval.torchvision_compat import declare_missing_operators as declare;"
        "declare(); import torchvision, quantus; from torchvision.datasets import MNIST; print(declare())"
    )
    assert run(code) == "()"


def test_nothing_is_declared_where_the_native_library_loads():
    code = (
        "import saq_eval.torchvision_compat as c, torch;"
        "c._native_library_loads = lambda package: True;"
        "print(c.declare_missing_operators(), hasattr(torch.ops.torchvision, 'nms'))"
    )
    assert run(code) == "() False"


def test_a_missing_operator_is_declared_but_still_refuses_to_run():
    code = (
        "import saq_eval.torchvision_compat as c, torch;"
        "c._native_library_loads = lambda package: False;"
        "print(c.declare_missing_operators());\n"
        "try: torch.ops.torchvision.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)\n"
        "except NotImplementedError: print('refused')"
    )
    assert run(code) == "('nms', 'qnms')\nrefused"
