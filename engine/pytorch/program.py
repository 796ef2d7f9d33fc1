"""What netspace runs to train networks with PyTorch.

netspace (engine/pytorch) starts this program and drives it step by step: recipe, order and augmentation of the images,
masks of drop-path, checkpoints are netspace's. Here a network is computed op by op as its list of layers says, forward
and backward, and its optimizer is applied.

On standard input come requests: a line of JSON, then as many little-endian float32 values as its member sizes says. To each
there is one answer of that form on standard output. The program ends with its input. Needs PyTorch (1.13, 2.x) and numpy.
"""

import json
import os
import signal
import sys

# When a terminal or a scheduler stops everything, netspace finishes its step first and then closes our input.
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # libraries that print do not print into the answers

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

PARAMS, BUFFERS, GRADIENTS, MOMENT1, MOMENT2, EMA_PARAMS, EMA_BUFFERS = range(7)
EVALUATE, EVALUATE_EMA, CALIBRATE = range(3)
SGD, ADAM, ADAMW = range(3)

ACTIVATIONS = {"identity": lambda x: x, "relu": torch.relu, "silu": F.silu, "sigmoid": torch.sigmoid}


def batch_norm(x, gamma, beta, mean, variance, momentum, epsilon):
    """With a momentum it normalises by the batch's statistics and gives them that weight in the running ones."""
    if momentum is not None and x.numel() == x.shape[1]:
        # One value has no unbiased variance: its variance, 0, counts as it is, where PyTorch would say nan.
        mean.mul_(1 - momentum).add_(x.detach().flatten(), alpha=momentum)
        variance.mul_(1 - momentum)
        mean = variance = None
    return torch.batch_norm(x, gamma, beta, mean, variance, momentum is not None, momentum or 0.0, epsilon, True)


class Program:
    """A network with its parameters and optimizer state: engine.Program of netspace."""

    def __init__(self, device, half, layers, tensors, batch, inference, momentum, fixed):
        self.device, self.half, self.layers, self.inference, self.momentum = device, half, layers, inference, momentum
        for i in fixed or ():
            layers[i]["fixed"] = True
        self.still = {name for i in fixed or () for name in layers[i]["tensors"][2:]}  # statistics that stay as they are
        last = {k: i for i, layer in enumerate(layers) for k in layer["in"]}
        for i, layer in enumerate(layers):
            layer["done"] = [k for k in layer["in"] if last[k] == i]  # values that nothing needs any more
        self.stochastic = [layer for layer in layers if layer["op"] in ("drop-path", "dropout")]
        self.sets = [None] * 7
        self.sets[PARAMS], self.sets[BUFFERS] = {}, {}
        self.groups = {"weight": [], "norm": [], "bias": []}  # names of parameters by their weight decay
        groups = {"conv_weight": "weight", "linear_weight": "weight", "gamma": "norm", "beta": "norm", "bias": "bias"}
        for t in tensors:
            value = torch.zeros(t["shape"], device=device)
            if t["role"] == "statistic":
                self.sets[BUFFERS][t["name"]] = value + 1 if t["name"].endswith("running_var") else value
                continue
            if value.dim() == 4:
                value = value.to(memory_format=torch.channels_last)
            if not inference:
                value.requires_grad_()
                value.grad = torch.zeros_like(value)
            self.sets[PARAMS][t["name"]] = value
            self.groups[groups[t["role"]]].append(t["name"])
        if not inference:
            self.sets[GRADIENTS] = {name: p.grad for name, p in self.sets[PARAMS].items()}
        self.shape = [batch, *layers[0]["out"]]
        self.graph = None  # of a step, on CUDA

    # Computing.

    def images(self, values):
        return values.view(self.shape).to(self.device).contiguous(memory_format=torch.channels_last)

    def network(self, x, tensors, momentum=None, masks=()):
        """Logits [N,classes]. With a momentum BN that is not fixed uses the batch's statistics, of that weight in the running ones."""
        values, masks = [None] * len(self.layers), iter(masks)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.half, cache_enabled=False):
            for i, layer in enumerate(self.layers):
                args = [values[k] for k in layer["in"]]
                values[i] = self.layer(layer, args, [tensors[name] for name in layer.get("tensors", ())], x, momentum, masks)
                for k in layer["done"]:
                    values[k] = None
        return values[-1].flatten(1)

    def layer(self, layer, args, tensors, images, momentum, masks):
        op = layer["op"]
        if op == "input":
            return images
        x = args[0]
        if op == "conv":
            return F.conv2d(x, *tensors, stride=layer["stride"], padding=(layer["kernel"] - 1) // 2, groups=layer["groups"])
        if op == "linear":
            return F.linear(x.flatten(1), *tensors)[:, :, None, None]
        if op == "batch-norm":
            return batch_norm(x, *tensors, None if layer.get("fixed") else momentum, layer["epsilon"])
        if op == "activation":
            return ACTIVATIONS[layer["activation"]](x)
        if op == "max-pool":
            return F.max_pool2d(x, layer["kernel"], layer["stride"], (layer["kernel"] - 1) // 2)
        if op == "global-pool":
            return x.mean((2, 3), keepdim=True)
        if op == "add":
            return x + args[1]
        if op == "scale":
            return x * args[1]
        if op == "avg-pool":
            pad = layer.get("pad", 0)
            return F.avg_pool2d(x, layer["kernel"], layer["stride"], pad, ceil_mode=not pad)  # only tiles can reach beyond the image
        if op == "fold":
            return x.unflatten(1, (layer["parts"], -1)).sum(1)
        if op == "softmax":
            return x.unflatten(1, (layer["groups"], layer["parts"], -1)).softmax(2).transpose(1, 2).flatten(1, 3)
        if op in ("drop-path", "dropout"):
            mask = next(masks, None)
            return x if mask is None else x * mask.to(x.dtype)
        raise ValueError(f"layer of op {op}")

    def tensors(self, ema=False):
        params, buffers = (EMA_PARAMS, EMA_BUFFERS) if ema else (PARAMS, BUFFERS)
        if self.sets[params] is None:
            raise ValueError("there is no EMA yet")
        return {**self.sets[params], **self.sets[buffers]}

    def forward_backward(self, images, targets, masks):
        torch._foreach_zero_(list(self.sets[GRADIENTS].values()))
        logits = self.network(images, self.tensors(), self.momentum, masks)
        loss = -(targets.double() * F.log_softmax(logits.double(), 1)).sum() / len(logits)
        loss.backward()
        return loss.detach(), logits.detach()

    def capture(self, inputs):
        """Records a step as a CUDA graph: small networks are bound by the launches of their kernels."""
        self.inputs = [t.clone() for t in inputs]
        state = {name: b.clone() for name, b in self.sets[BUFFERS].items()}
        run = lambda: self.forward_backward(self.inputs[0], self.inputs[1], self.inputs[2:])  # noqa: E731
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):  # what libraries allocate at first is not to be recorded
                run()
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.outputs = run()
        for name, b in self.sets[BUFFERS].items():
            b.copy_(state[name])

    def step(self, images, targets, masks):
        """A training step's forward and backward: (loss, logits)."""
        if self.inference:
            raise ValueError("the program was compiled for inference only")
        inputs = [self.images(images), targets.view(self.shape[0], -1).to(self.device)]
        for layer, mask in zip(self.stochastic, masks):
            shape = [-1, 1, 1, 1] if layer["op"] == "drop-path" else [-1, *layer["out"]]
            inputs.append(mask.view(shape).to(self.device).contiguous(memory_format=torch.channels_last))
        if self.device.type != "cuda":
            return self.forward_backward(inputs[0], inputs[1], inputs[2:])
        if self.graph is None or len(inputs) != len(self.inputs):
            self.capture(inputs)
        for to, value in zip(self.inputs, inputs):
            to.copy_(value)
        self.graph.replay()
        return self.outputs

    @torch.no_grad()
    def forward(self, images, mode, momentum):
        if mode == CALIBRATE and self.inference:
            raise ValueError("the program was compiled for inference only")
        return self.network(self.images(images), self.tensors(mode == EVALUATE_EMA), momentum if mode == CALIBRATE else None)

    # Updating, with the formulas of torch.optim.

    def create(self, which):
        """Makes a set that does not exist yet: moments of zeros, averages as copies."""
        if self.sets[which] is not None:
            return
        if which in (MOMENT1, MOMENT2):
            self.sets[which] = {name: torch.zeros_like(p) for name, p in self.sets[PARAMS].items()}
        elif which in (EMA_PARAMS, EMA_BUFFERS):
            self.sets[EMA_PARAMS] = {name: p.detach().clone() for name, p in self.sets[PARAMS].items()}
            self.sets[EMA_BUFFERS] = {name: b.clone() for name, b in self.sets[BUFFERS].items()}

    @torch.no_grad()
    def update(self, u):
        """Applies the gradients; returns their norm if it is bounded, else 0."""
        if self.inference:
            raise ValueError("the program was compiled for inference only")
        norm, gradients = 0.0, self.sets[GRADIENTS]
        rates = dict(zip(self.sets[PARAMS], u["rates"])) if u["rates"] else {}
        if u["clip_norm"] > 0:
            moving = [g.double().square().sum() for name, g in gradients.items() if rates.get(name, 1)]
            norm = torch.stack(moving).sum().sqrt().item() if moving else 0.0
            if norm + 1e-6 > u["clip_norm"]:  # all others stay as they are
                gradients = dict(zip(gradients, torch._foreach_mul(list(gradients.values()), u["clip_norm"] / (norm + 1e-6))))
        if u["momentum"] or u["optimizer"] != SGD:
            self.create(MOMENT1)
        if u["optimizer"] != SGD:
            self.create(MOMENT2)
        for group, members in self.groups.items():
            for rate in dict.fromkeys(rates.get(name, 1) for name in members):
                names = [name for name in members if rates.get(name, 1) == rate]
                if rate:
                    pick = lambda values: [values[name] for name in names]  # noqa: B023, E731
                    self.update_group(u, u["lr"] * rate, u["decay"][group], pick(self.sets[PARAMS]), pick(gradients), pick)
        if u["ema_decay"] > 0:
            self.average(u["ema_decay"], self.still | {name for name, rate in rates.items() if not rate})
        return norm

    def update_group(self, u, lr, decay, params, gradients, pick):
        if decay and u["optimizer"] != ADAMW:
            gradients = torch._foreach_add(gradients, params, alpha=decay)
        if u["optimizer"] == SGD:
            if u["momentum"]:
                moment = pick(self.sets[MOMENT1])
                torch._foreach_mul_(moment, u["momentum"])
                torch._foreach_add_(moment, gradients)
                gradients = torch._foreach_add(gradients, moment, alpha=u["momentum"]) if u["nesterov"] else moment
            torch._foreach_add_(params, gradients, alpha=-lr)
            return
        if decay and u["optimizer"] == ADAMW:
            torch._foreach_mul_(params, 1 - lr * decay)
        first, second = pick(self.sets[MOMENT1]), pick(self.sets[MOMENT2])
        torch._foreach_mul_(first, u["beta1"])
        torch._foreach_add_(first, gradients, alpha=1 - u["beta1"])
        torch._foreach_mul_(second, u["beta2"])
        torch._foreach_addcmul_(second, gradients, gradients, 1 - u["beta2"])
        root = torch._foreach_sqrt(torch._foreach_div(second, 1 - u["beta2"] ** u["step"]))
        torch._foreach_add_(root, u["epsilon"])
        torch._foreach_addcdiv_(params, first, root, -lr / (1 - u["beta1"] ** u["step"]))

    def average(self, decay, frozen):
        if self.sets[EMA_PARAMS] is None:
            self.create(EMA_PARAMS)
            return
        for ema, values in ((EMA_PARAMS, PARAMS), (EMA_BUFFERS, BUFFERS)):
            names = [name for name in self.sets[ema] if name not in frozen]
            if names:
                averages = [self.sets[ema][name] for name in names]
                torch._foreach_mul_(averages, decay)
                torch._foreach_add_(averages, [self.sets[values][name] for name in names], alpha=1 - decay)

    # Tensors.

    def get(self, which, name):
        if self.sets[which] is None:
            raise ValueError(f"{name}: set {which} was never used")
        return self.sets[which][name].detach()

    @torch.no_grad()
    def set(self, which, name, values):
        if self.inference and which in (GRADIENTS, MOMENT1, MOMENT2):
            raise ValueError("the program was compiled for inference only")
        self.create(which)
        to = self.sets[which][name]
        to.copy_(values.view(to.shape))

    def memory(self):
        return sum(t.numel() * t.element_size() for s in self.sets if s for t in s.values())


class Server:
    def __init__(self, device, precision):
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if device == "cuda":
            if not torch.cuda.is_available():
                raise ValueError("PyTorch finds no CUDA GPU")
            # Workers count from 0, and share the GPUs evenly.
            torch.cuda.set_device(int(os.environ.get("NETSPACE_SLOT", "0")) % torch.cuda.device_count())
            torch.backends.cudnn.deterministic = True  # the same bits again
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False  # fp32 means that
        self.device = torch.device(device)
        self.precision = {"auto": "bf16" if device == "cuda" else "fp32"}.get(precision, precision)
        self.programs = {}

    def hello(self):
        gpu = self.device.type == "cuda"
        isa = ""
        if gpu:
            isa = torch.cuda.get_device_name()
        elif hasattr(torch.backends, "cpu"):  # PyTorch 2
            isa = torch.backends.cpu.get_cpu_capability()
        return {"device": self.device.type, "precision": self.precision, "library": f"PyTorch {torch.__version__}", "isa": isa,
                "gpus": torch.cuda.device_count() if gpu else 0}

    def answer(self, message, arrays):
        """Does what a message asks for; returns the members of the answer, and a tensor or None."""
        op, number = message["op"], message["program"]
        if torch.get_num_threads() != message["threads"]:
            torch.set_num_threads(message["threads"])
        if op == "compile":
            self.programs[number] = Program(self.device, self.precision == "bf16", *(message[k] for k in ("layers", "tensors", "batch", "inference", "momentum", "fixed")))
            return {}, None
        if op == "close":
            del self.programs[number]
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            return {}, None
        program = self.programs[number]
        if op == "step":
            loss, logits = program.step(arrays[0], arrays[1], arrays[2:])
            return {"number": repr(loss.item())}, logits if message["logits"] else None
        if op == "update":
            return {"number": repr(program.update(message["update"]))}, None
        if op == "forward":
            return {}, program.forward(arrays[0], message["mode"], message["momentum"])
        if op == "get":
            return {}, program.get(message["set"], message["name"])
        if op == "set":
            return program.set(message["set"], message["name"], arrays[0]) or {}, None
        if op == "memory":
            return {"number": repr(program.memory())}, None
        raise ValueError(f"op {op}")


def send(members, tensor=None):
    values = b"" if tensor is None else tensor.float().cpu().contiguous().numpy().astype("<f4").tobytes()
    answers.write(json.dumps({**members, "size": len(values) // 4}).encode() + b"\n" + values)
    answers.flush()


def receive(size):
    values = bytearray(4 * size)
    view = memoryview(values)
    while view:
        n = requests.readinto(view)
        if not n:
            sys.exit(0)
        view = view[n:]
    return torch.from_numpy(np.frombuffer(values, "<f4").astype("f4", copy=False))


def is_out_of_memory(error):
    return isinstance(error, (MemoryError, getattr(torch.cuda, "OutOfMemoryError", MemoryError))) or "can't allocate memory" in str(error)


def main():
    try:
        server = Server(sys.argv[1], sys.argv[2])
        send(server.hello())
    except Exception as error:  # the device is what may be missing; netspace says so
        send({"error": str(error)})
        return
    for line in requests:
        message = json.loads(line)
        arrays = [receive(size) for size in message["sizes"]]
        try:
            members, tensor = server.answer(message, arrays)
        except Exception as error:  # netspace decides what it means
            members, tensor = {"error": f"{type(error).__name__}: {error}", "memory": is_out_of_memory(error)}, None
        send(members, tensor)


main()
