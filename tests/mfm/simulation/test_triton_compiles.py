"""The simulation kernel compiles to machine code for GPUs that are not here: layouts, tensor-core shapes, shared memory.

The interpreter runs a kernel as numpy and sees none of these.
"""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="triton is not installed")

#: Compute capability, bytes of shared memory that a program may have, regions, simulations, model.
CASES = [
    (86, 99 * 1024, 68, 1, "fic"),
    (80, 163 * 1024, 68, 8192, "fic"),
    (90, 227 * 1024, 68, 8192, "fic"),
    (90, 227 * 1024, 20, 1, "fic"),
    (86, 99 * 1024, 400, 300, "fic"),
    (80, 163 * 1024, 68, 8192, "pmfm"),
    (90, 227 * 1024, 68, 8192, "pmfm"),
    (90, 227 * 1024, 68, 300, "toy2"),
    (86, 99 * 1024, 400, 300, "toy2"),
    (90, 227 * 1024, 68, 8192, "toy3"),
]
POINTERS = {
    "plan": "i64", "times": "fp32", "weights": "fp16", "strengths": "fp32", "parameters": "fp32", "lane_parameters": "fp32",
    "streams": "i32", "state": "fp32", "totals": "fp64", "bold": "fp32", "scratch": "fp16",
}  # fmt: skip


def model_called(name: str):
    """A model of the package, or a toy of `test_triton_models`."""
    if name.startswith("toy"):
        from test_triton_models import TOYS

        return next(model for model in TOYS if model.name == name)
    from mfm.models.registry import get_model

    return get_model(name)


def compile_for(capability: int, n_regions: int, n_lanes: int, name: str = "fic"):
    """What Triton makes of the kernel, called as `mfm.simulation.gpu` calls it on such a GPU with 100 multiprocessors."""
    from types import SimpleNamespace

    import torch
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from mfm.simulation import gpu
    from mfm.simulation.gpu_arrays import shape_of
    from mfm.simulation.gpu_kernel import simulate_kernel
    from mfm.simulation.gpu_model import equations_of

    model = model_called(name)
    ones = torch.ones(1, 2, dtype=torch.float64)
    p = model.parameters(**{one.name: ones if one.regional else ones[0, :1] for one in model.parameters.declared()})
    torch.cuda.get_device_properties = lambda device: SimpleNamespace(multi_processor_count=100)
    tile = gpu.choose_tile(n_regions, n_lanes, torch.device("cuda"))
    constants = {
        "HALF": gpu.half_size(n_regions), "LANES": tile.lanes, "RESIDENT": n_regions <= gpu._RESIDENT_REGIONS, "DEPTH": 32,
        "EVERY_STEP": False, "EXPONENTIAL": model.decay is not None, "MODEL": equations_of(model, shape_of(model, p)),
    }  # fmt: skip
    names = simulate_kernel.arg_names
    types = {name: "constexpr" if name in constants else "i32" for name in names}
    types |= {name: "*" + t for name, t in POINTERS.items()}
    aligned = {(names.index(name),): [["tt.divisibility", 16]] for name in (*POINTERS, "stride_lanes")}
    source = ASTSource(simulate_kernel, types, {(names.index(name),): value for name, value in constants.items()}, aligned)
    options = {"num_warps": tile.warps, "num_stages": tile.stages, "maxnreg": tile.max_registers}
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


@pytest.mark.slow
@pytest.mark.parametrize(("capability", "shared_bytes", "n_regions", "n_lanes", "name"), CASES)
def test_the_kernel_compiles_and_fits(capability, shared_bytes, n_regions, n_lanes, name, tmp_path):
    # In a process of its own: here kernels are defined for the interpreter.
    environment = os.environ | {
        "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))
    }  # fmt: skip
    command = [sys.executable, __file__, str(capability), str(n_regions), str(n_lanes), name]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    shared, uses_tensor_cores = done.stdout.split()
    assert int(shared) <= shared_bytes
    assert uses_tensor_cores == "True"


if __name__ == "__main__":
    kernel = compile_for(*(int(value) for value in sys.argv[1:4]), sys.argv[4])
    print(kernel.metadata.shared, "mma" in kernel.asm["ptx"])
