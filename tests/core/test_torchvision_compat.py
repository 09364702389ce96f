import subprocess
import sys


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_saq_eval_is_enough_whichever_torch_build_is_installed():
    code = (
        "import sys, saq_eval; light = 'torch' not in sys.modules;"
        "import torchvision, quantus; from torchvision.datasets import MNIST;"
        "from saq_eval.core.torchvision_compat import declare_missing_operators as declare; print(light, declare())"
    )
    assert run(code) == "True ()"


def test_it_is_enough_that_saq_eval_comes_after_a_failed_import():
    code = (
        "try: import torchvision\n"
        "except RuntimeError: pass\n"
        "import saq_eval, torchvision; print(torchvision.transforms.CenterCrop(2).size)"
    )
    assert run(code) == "(2, 2)"


def test_nothing_is_declared_where_the_native_library_loads():
    code = (
        "import saq_eval.core.torchvision_compat as c, torch;"
        "c._native_library_loads = lambda package: True;"
        "print(c.declare_missing_operators(), hasattr(torch.ops.torchvision, 'nms'))"
    )
    assert run(code) == "() False"


def test_a_missing_operator_is_declared_but_still_refuses_to_run():
    code = (
        "import saq_eval.core.torchvision_compat as c, torch;"
        "c._native_library_loads = lambda package: False;"
        "print(c.declare_missing_operators());\n"
        "try: torch.ops.torchvision.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)\n"
        "except NotImplementedError: print('refused')"
    )
    assert run(code) == "('nms', 'qnms')\nrefused"
