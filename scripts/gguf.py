"""A GGUF file of a Llama of any size in Q8_0, with weights by a fixed rule: what `scripts/soak` opens to measure memory."""

import struct

TYPES = {"F32": 0, "Q8_0": 8}


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def tensors(layers, hidden, inner, heads, keys, words):
    """Names, shapes [rows, columns] and types, in the order of the file."""
    width = hidden // heads
    yield "token_embd.weight", (words, hidden), "Q8_0"
    yield "output_norm.weight", (hidden,), "F32"
    for layer in range(layers):
        for name, shape in {
            "attn_q": (hidden, hidden),
            "attn_k": (keys * width, hidden),
            "attn_v": (keys * width, hidden),
            "attn_output": (hidden, hidden),
            "ffn_gate": (inner, hidden),
            "ffn_up": (inner, hidden),
            "ffn_down": (hidden, inner),
            "attn_norm": (hidden,),
            "ffn_norm": (hidden,),
        }.items():
            yield f"blk.{layer}.{name}.weight", shape, "F32" if len(shape) == 1 else "Q8_0"


def count(shape):
    product = 1
    for side in shape:
        product *= side
    return product


def size(shape, kind):
    # A block of 32 numbers has a scale of two bytes.
    return 4 * count(shape) if kind == "F32" else count(shape) // 32 * 34


def write(path, layers=16, hidden=2048, inner=8192, heads=32, keys=8, words=32_000):
    """Writes the file; its numbers, and the most of one tensor."""
    all_tensors = list(tensors(layers, hidden, inner, heads, keys, words))
    keys = {
        "general.architecture": "llama",
        "llama.block_count": layers,
        "llama.context_length": 512,
        "llama.embedding_length": hidden,
        "llama.feed_forward_length": inner,
        "llama.attention.head_count": heads,
        "llama.attention.head_count_kv": keys,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
    }
    header = b"GGUF" + struct.pack("<IQQ", 3, len(all_tensors), len(keys))
    for key, value in keys.items():
        kind = {str: 8, int: 4, float: 6}[type(value)]
        header += text(key) + struct.pack("<I", kind)
        header += text(value) if kind == 8 else struct.pack("<I" if kind == 4 else "<f", value)
    offset = 0
    for name, shape, kind in all_tensors:
        header += text(name) + struct.pack("<I", len(shape))
        header += b"".join(struct.pack("<Q", side) for side in reversed(shape))
        header += struct.pack("<IQ", TYPES[kind], offset)
        offset += -(-size(shape, kind) // 32) * 32
    # Small numbers that differ within a block, in half precision by 2^-11.
    blocks = b"".join(
        struct.pack("<e32b", 2**-11, *((at * 37 + place * 11) % 255 - 127 for at in range(32))) for place in range(256)
    )
    ones = struct.pack("<f", 1.0) * 1024
    with open(path, "wb") as file:
        file.write(header)
        for _, shape, kind in all_tensors:
            file.write(b"\0" * (-file.tell() % 32))
            left, pattern = size(shape, kind), ones if kind == "F32" else blocks
            while left > 0:
                left -= file.write(pattern[:left])
    return sum(count(shape) for _, shape, _ in all_tensors), max(count(shape) for _, shape, _ in all_tensors)
