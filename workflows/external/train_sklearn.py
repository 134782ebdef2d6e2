#!/usr/bin/env python3
"""A training with scikit-learn, as Gleaner's `trainer.command`. README.md beside this file is the protocol.

    pip install scikit-learn onnx

Settings: `model` (`logistic` or `mlp`, the default), `hidden` (neurons of the one hidden layer, 64), `epochs` (40),
`learning_rate` (0.001, of the mlp), `c` (1, of the logistic regression). Classification only.
"""

import json
import math
import os
import sys
from pathlib import Path

# One thread: the same request gives the same model, and other trainings on this machine are not disturbed.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler


def say(**progress):
    """One line of progress, at once: a line that waits in a buffer is heard by nobody."""
    print(json.dumps({k: v for k, v in progress.items() if not isinstance(v, float) or math.isfinite(v)}), flush=True)


def read(folder, split):
    inputs = np.load(folder / split["inputs"])
    return inputs.reshape(len(inputs), math.prod(inputs.shape[1:])), np.load(folder / split["labels"])


def export(path, shape, scaler, layers):
    """Writes scaler and dense layers as one ONNX file that takes raw samples; all but the last layer end in a ReLU."""
    weights, nodes = [], []

    def constant(name, value, dtype=np.float32):
        weights.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    flat = node("Reshape", ["input", constant("flat_shape", [-1, math.prod(shape)], np.int64)], "flat")
    centred = node("Sub", [flat, constant("mean", scaler.mean_)], "centred")
    value = node("Div", [centred, constant("scale", scaler.scale_)], "embedding" if len(layers) == 1 else "scaled")
    width = math.prod(shape)
    for place, (coefficients, intercept) in enumerate(layers, 1):
        is_last = place == len(layers)
        names = [value, constant(f"w{place}", coefficients), constant(f"b{place}", intercept)]
        value = node("Gemm", names, "logits" if is_last else f"dense{place}")
        if not is_last:
            value = node("Relu", [value], "embedding" if place == len(layers) - 1 else f"relu{place}")
            width = coefficients.shape[1]

    def port(name, sides):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *sides])

    outputs = [port("logits", [layers[-1][0].shape[1]]), port("embedding", [width])]
    graph = helper.make_graph(nodes, "sklearn", [port("input", shape)], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def layers_of(model, classes):
    """The dense layers, with a column of logits for each class of the request, in its order."""
    if isinstance(model, MLPClassifier):
        layers = list(zip(model.coefs_, model.intercepts_))
    else:
        layers = [(model.coef_.T, model.intercept_)]
    coefficients, intercept = layers[-1]
    if coefficients.shape[1] == 1:
        # Of two classes scikit-learn keeps the one logit of the second: against 0 for the first.
        coefficients = np.hstack([np.zeros_like(coefficients), coefficients])
        intercept = np.array([0.0, intercept[0]])
    # A class without a training sample is as good as impossible, and its logit still a finite number.
    all_coefficients = np.zeros((coefficients.shape[0], classes))
    all_intercept = np.full(classes, -1e4)
    all_coefficients[:, model.classes_] = coefficients
    all_intercept[model.classes_] = intercept
    return [*layers[:-1], (all_coefficients, all_intercept)]


def measured(model, inputs, labels, classes):
    if len(labels) == 0:
        return {}
    probabilities = np.zeros((len(labels), classes))
    probabilities[:, model.classes_] = model.predict_proba(inputs)
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return {
        "validation.accuracy": float((probabilities.argmax(axis=1) == labels).mean()),
        "validation.loss": float(-np.log(np.clip(of_label, 1e-15, 1)).mean()),
    }


def main():
    folder = Path(sys.argv[-1])
    request = json.loads((folder / "request.json").read_text())
    if request["version"] != 1 or request["task"] != "classification":
        sys.exit("this trainer knows version 1 of the protocol, and classification only")
    settings, classes = request["settings"], len(request["classes"])
    seed = request["seed"] % 2**32  # as large as scikit-learn takes it
    inputs, labels = read(folder, request["train"])
    validation_inputs, validation_labels = read(folder, request["validation"])
    if len(np.unique(labels)) < 2:
        sys.exit("all training samples are of one class")
    scaler = StandardScaler().fit(inputs)
    inputs = scaler.transform(inputs)
    if len(validation_labels):
        validation_inputs = scaler.transform(validation_inputs)

    checkpoints = []

    def save(model, step):
        metrics = measured(model, validation_inputs, validation_labels, classes)
        file = f"model-{step}.onnx"
        export(folder / file, request["shape"], scaler, layers_of(model, classes))
        checkpoints.append({"file": file, "step": step, "metrics": metrics})

    if settings.get("model", "mlp") == "logistic":
        model = LogisticRegression(C=float(settings.get("c", 1)), max_iter=1000).fit(inputs, labels)
        say(epoch=1, epochs=1, **measured(model, validation_inputs, validation_labels, classes))
        save(model, int(model.n_iter_.max()))
    else:
        epochs = int(settings.get("epochs", 40))
        model = MLPClassifier(
            hidden_layer_sizes=(int(settings.get("hidden", 64)),),
            learning_rate_init=float(settings.get("learning_rate", 0.001)),
            batch_size=min(32, len(labels)),
            random_state=seed,
        )
        for epoch in range(1, epochs + 1):
            model.partial_fit(inputs, labels, classes=np.unique(labels))
            now = measured(model, validation_inputs, validation_labels, classes)
            say(epoch=epoch, epochs=epochs, loss=float(model.loss_), **now)
            if epoch * 2 == epochs or epoch == epochs:
                save(model, epoch * math.ceil(len(labels) / min(32, len(labels))))

    # Under another name first: a result is whole, or it is not there.
    result = folder / "result.json.tmp"
    result.write_text(json.dumps({"version": 1, "checkpoints": checkpoints}, allow_nan=False))
    result.replace(folder / "result.json")


if __name__ == "__main__":
    main()
