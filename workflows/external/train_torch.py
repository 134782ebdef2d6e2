#!/usr/bin/env python3
"""A training with PyTorch, as Gleaner's `trainer.command`. README.md beside this file is the protocol.

    pip install torch onnx

Settings: `hidden` (neurons of the one hidden layer, 64), `epochs` (40), `batch` (32), `learning_rate` (0.001), `threads` (1).
Classification only.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn


class Network(nn.Module):
    """Takes raw samples: scaling is a part of the model. Answers the embedding too."""

    def __init__(self, inputs, hidden, classes):
        super().__init__()
        flat = inputs.flatten(1)
        scale = flat.std(0, correction=0)
        self.register_buffer("mean", flat.mean(0))
        self.register_buffer("scale", torch.where(scale > 0, scale, torch.ones_like(scale)))
        self.body = nn.Sequential(nn.Linear(flat.shape[1], hidden), nn.ReLU())
        self.head = nn.Linear(hidden, classes)

    def forward(self, samples):
        embedding = self.body((samples.flatten(1) - self.mean) / self.scale)
        return self.head(embedding), embedding


def read(folder, split):
    return torch.from_numpy(np.load(folder / split["inputs"])), torch.from_numpy(np.load(folder / split["labels"]))


def export(network, shape, path):
    # The exporter that needs neither onnxscript nor a trace of shapes, and leaves one file with its weights inside.
    batch = {0: "batch"}
    torch.onnx.export(
        network.eval(),
        (torch.zeros(2, *shape),),
        str(path),
        input_names=["input"],
        output_names=["logits", "embedding"],
        dynamic_axes={"input": batch, "logits": batch, "embedding": batch},
        opset_version=17,
        dynamo=False,
    )


@torch.no_grad()
def measured(network, inputs, labels):
    if len(labels) == 0:
        return {}
    logits, _ = network.eval()(inputs)
    return {
        "validation.accuracy": float((logits.argmax(1) == labels).double().mean()),
        "validation.loss": float(nn.functional.cross_entropy(logits, labels)),
    }


def main():
    folder = Path(sys.argv[-1])
    request = json.loads((folder / "request.json").read_text())
    if request["version"] != 1 or request["task"] != "classification":
        sys.exit("this trainer knows version 1 of the protocol, and classification only")
    settings = request["settings"]
    epochs, batch = int(settings.get("epochs", 40)), int(settings.get("batch", 32))
    torch.set_num_threads(int(settings.get("threads", 1)))
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(request["seed"] % 2**63)
    inputs, labels = read(folder, request["train"])
    validation = read(folder, request["validation"])
    network = Network(inputs, int(settings.get("hidden", 64)), len(request["classes"]))
    optimizer = torch.optim.Adam(network.parameters(), lr=float(settings.get("learning_rate", 0.001)))

    checkpoints, step = [], 0
    for epoch in range(1, epochs + 1):
        network.train()
        total = 0.0
        for rows in torch.randperm(len(labels)).split(batch):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(inputs[rows])[0], labels[rows])
            loss.backward()
            optimizer.step()
            step += 1
            total += float(loss.detach()) * len(rows) / len(labels)
        if not math.isfinite(total):
            sys.exit(f"the loss is {total} in epoch {epoch}; a smaller learning_rate may help")
        metrics = measured(network, *validation)
        print(json.dumps({"epoch": epoch, "epochs": epochs, "loss": total, **metrics}), flush=True)
        if epoch * 2 == epochs or epoch == epochs:
            file = f"model-{step}.onnx"
            export(network, request["shape"], folder / file)
            checkpoints.append({"file": file, "step": step, "metrics": metrics})

    # Under another name first: a result is whole, or it is not there.
    result = folder / "result.json.tmp"
    result.write_text(json.dumps({"version": 1, "checkpoints": checkpoints}, allow_nan=False))
    result.replace(folder / "result.json")


if __name__ == "__main__":
    main()
