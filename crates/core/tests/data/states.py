"""Makes the states of `../corpus/torch_state` with PyTorch 2.15. Usage: python states.py"""

import pathlib

import torch

HERE = pathlib.Path(__file__).parent.parent / "corpus/torch_state"
weight = torch.tensor([[0.5, -1.25, 2.0], [3.5, 0.0, -0.75]])
bias = torch.tensor([0.25, -8.0])

for name, dtype in [("f32", torch.float32), ("f16", torch.float16), ("bf16", torch.bfloat16)]:
    torch.save({"weight": weight.to(dtype), "bias": bias.to(dtype)}, HERE / f"{name}.pt")

# The dictionary of a module with its version, as most repositories have it.
module = torch.nn.Linear(3, 2)
with torch.no_grad():
    module.weight.copy_(weight)
    module.bias.copy_(bias)
torch.save(module.state_dict(), HERE / "module.pt")

# Both tensors within one storage, the first of them out of order.
torch.save({"weight": weight.T, "bias": bias}, HERE / "transposed.pt")
both = torch.cat([bias, weight.flatten()])
torch.save({"weight": both[2:].view(2, 3), "bias": both[:2]}, HERE / "shared.pt")
# A whole module, whose file imports code.
torch.save(module, HERE / "code.pt")
torch.save({"weight": weight.double(), "bias": bias.double()}, HERE / "f64.pt")
