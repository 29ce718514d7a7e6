"""Writes the training log of attn (docs/TRAINING_LOG.md) from any training in Python.

One file to copy beside a training. It needs nothing but what the training has: NumPy arrays, PyTorch tensors and lists are all fine.

A loop of your own:

    from attn_log import AttnLog, evaluation

    log = AttnLog("run/log.jsonl", labels=["negative", "positive"])
    log.examples(ids, gold, texts=texts, split="train")
    for epoch in range(1, 4):
        train(model)
        with evaluation(model):                       # no dropout, no gradients
            for ids, inputs, gold in batches:         # every example, in any order
                log.predictions(ids, gold, logits=model(**inputs).logits, epoch=epoch)
        log.checkpoint(f"epoch-{epoch}", epoch=epoch)

The trainer of Hugging Face:

    trainer = Trainer(..., callbacks=[trainer_callback("run/log.jsonl", train_dataset, collator, id_column="id")])

A model that writes text:

    callback = trainer_callback("run/log.jsonl", train_dataset, collator, text_column="source", gold_column="target")

Predictions belong to the weights at the end of an epoch, in evaluation mode. Those gathered while an epoch trains come from different
weights.
"""

import contextlib
import json
import math
import os

__all__ = ["AttnLog", "evaluation", "gold_log_probabilities", "trainer_callback"]


def _plain(value):
    """Lists and numbers of Python, from arrays and tensors."""
    if value is None:
        return None
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if hasattr(value, "float") and value.dtype.is_floating_point:
            value = value.float()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _short(value):
    """Floats with seven digits, which is what float32 has. NaN and infinities are null: JSON has no word for them."""
    if isinstance(value, list):
        return [_short(item) for item in value]
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            return None
        return float(f"{value:.7g}")
    return value


def _each(values, count, name):
    """One value per example: a list of them, or one for all."""
    values = _plain(values)
    if isinstance(values, list):
        if len(values) != count:
            raise ValueError(f"{name}: expected {count} values, one per example, found {len(values)}")
        return values
    return [values] * count


class AttnLog:
    """A training log that is appended to. A resumed training opens it again and goes on."""

    def __init__(self, path, labels=None, task=None, name=None, epochs=None):
        """`labels` are the names of the classes in the order of their numbers. `task` is one of classification, multi_label,
        regression, tokens and generation; without it the first prediction tells."""
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        fresh = not os.path.exists(path) or os.path.getsize(path) == 0
        cut = False
        if not fresh:
            with open(path, "rb") as written:
                written.seek(-1, os.SEEK_END)
                cut = written.read(1) != b"\n"
        self._file = open(path, "a", encoding="utf-8", newline="\n")
        if cut:
            # A writer was killed within a line; what follows is whole again.
            self._file.write("\n")
        if fresh:
            run = {"kind": "run", "format": 1, "name": name, "labels": labels, "task": task, "epochs": epochs}
            self._write([{key: value for key, value in run.items() if value is not None}])

    def examples(self, ids, gold, texts=None, split=None, attributes=None):
        """What the examples are, once, before their predictions. `split` is one for all or one per example; `attributes` is a dict per
        example."""
        ids = _plain(ids)
        count = len(ids)
        rows = zip(
            ids,
            _each(gold, count, "gold"),
            _each(texts, count, "texts"),
            _each(split, count, "split"),
            attributes if attributes is not None else [None] * count,
        )
        names = ("gold", "text", "split", "attributes")
        lines = []
        for id, *values in rows:
            line = {"kind": "example", "id": str(id)}
            line.update((name, value) for name, value in zip(names, values) if value is not None)
            lines.append(line)
        self._write(lines)

    def predictions(
        self,
        ids,
        gold=None,
        logits=None,
        probabilities=None,
        prediction=None,
        log_probability=None,
        loss=None,
        correct=None,
        epoch=None,
        step=None,
    ):
        """What the model says of a batch, after an epoch or a step:

        - classification: `logits` or `probabilities` `[example, class]`, `gold` a class;
        - multi-label: the same, `gold` 0 or 1 `[example, label]`;
        - regression: `prediction` `[example]` and `gold` a number; or both `[example, number]`;
        - tokens: `logits` `[example, token, class]` as a list of rows per example without padding, `gold` `[example, token]` with -100
          for tokens that do not count;
        - generation: `log_probability` `[example]`, the mean over tokens of the gold text's log-probability, or a list of them
          (`gold_log_probabilities`); `prediction` the text.
        """
        if epoch is None and step is None:
            raise ValueError("expected an epoch or a step, found neither")
        ids = _plain(ids)
        parts = {
            "gold": gold,
            "logits": logits,
            "probabilities": probabilities,
            "prediction": prediction,
            "log_probability": log_probability,
            "loss": loss,
            "correct": correct,
        }
        parts = {name: _each(values, len(ids), name) for name, values in parts.items() if values is not None}
        lines = []
        for at, id in enumerate(ids):
            line = {"kind": "prediction", "id": str(id)}
            if epoch is not None:
                line["epoch"] = epoch
            if step is not None:
                line["step"] = step
            for name, values in parts.items():
                line[name] = _short(values[at])
            lines.append(line)
        self._write(lines)

    def checkpoint(self, path, epoch=None, step=None):
        """A checkpoint that was written; `path` is relative to the log."""
        line = {"kind": "checkpoint", "path": str(path), "epoch": epoch, "step": step}
        self._write([{key: value for key, value in line.items() if value is not None}])

    def close(self):
        """Closes the file. Every line is on disk before."""
        self._file.close()

    def _write(self, lines):
        # One write of whole lines: a reader never sees half of one, unless the writer is killed.
        self._file.write("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        self._file.flush()


@contextlib.contextmanager
def evaluation(model):
    """A PyTorch model in evaluation mode without gradients; afterwards it is as it was."""
    import torch

    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield model
    finally:
        for module, mode in modes:
            module.training = mode


def gold_log_probabilities(logits, labels, shift):
    """The log-probability of each token that counts, a list per example: `logits` `[example, token, vocabulary]`, `labels` `[example,
    token]` with -100 for tokens that do not count. With `shift` the logits of a token say the next one, as in a decoder-only model;
    without it they say the label at their own place, as in an encoder-decoder."""
    if hasattr(logits, "log_softmax"):
        # On the tensor's own device, and only what is asked for leaves it.
        labels = labels.to(logits.device)
        if shift:
            logits, labels = logits[:, :-1], labels[:, 1:]
        scores = logits.float().log_softmax(-1).gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        pairs = zip(_plain(scores), _plain(labels))
        return [[score for score, label in zip(*row) if label >= 0] for row in pairs]

    def score(row, label):
        largest = max(row)
        return row[label] - largest - math.log(sum(math.exp(value - largest) for value in row))

    found = []
    for rows, own in zip(_plain(logits), _plain(labels)):
        pairs = zip(rows, own[1:]) if shift else zip(rows, own)
        found.append([score(row, label) for row, label in pairs if label >= 0])
    return found


def _writes_text(config):
    """Whether a model writes text, by the names of its classes."""
    heads = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel", "MTModel")
    return any(name.endswith(heads) for name in getattr(config, "architectures", None) or [])


def trainer_callback(
    path, dataset, collator, id_column="id", text_column=None, gold_column=None, split="train", batch_size=64, **options
):
    """A callback for the trainer of Hugging Face: logs every example of `dataset` at the end of each epoch. Of a model that writes text
    it logs the log-probabilities of the gold tokens, of any other the logits.

    `collator` is the trainer's. Rows need `id_column` and `labels` (or `label`). The gold answer is that, or what `gold_column` holds: a
    model that writes text needs one, the text itself. Further options are those of `AttnLog`.
    """
    import torch
    from transformers import TrainerCallback

    def value(row, *names):
        return next((row[name] for name in names if name in row), None)

    def answers(rows):
        return [row[gold_column] if gold_column else _plain(value(row, "labels", "label")) for row in rows]

    def writes(model):
        return options.get("task", "generation") == "generation" and _writes_text(model.config)

    class AttnCallback(TrainerCallback):
        def on_train_begin(self, args, state, control, model=None, **_):
            if not state.is_world_process_zero:
                return
            own = dict(options)
            if writes(model):
                if gold_column is None:
                    raise ValueError("expected gold_column, the column of the text to write, found none")
                own["task"] = "generation"
            elif "labels" not in own and getattr(model.config, "id2label", None):
                own["labels"] = [model.config.id2label[at] for at in sorted(model.config.id2label)]
            self.log = AttnLog(path, epochs=int(args.num_train_epochs), **own)
            rows = [dataset[at] for at in range(len(dataset))]
            texts = [row[text_column] for row in rows] if text_column else None
            self.log.examples([row[id_column] for row in rows], answers(rows), texts, split)

        def on_epoch_end(self, args, state, control, model=None, **_):
            if not state.is_world_process_zero:
                return
            with evaluation(model):
                for start in range(0, len(dataset), batch_size):
                    rows = [dataset[at] for at in range(start, min(start + batch_size, len(dataset)))]
                    others = (id_column, text_column, gold_column)
                    inputs = [
                        {name: cell for name, cell in row.items() if name not in others and not isinstance(cell, str)} for row in rows
                    ]
                    batch = {name: tensor.to(model.device) for name, tensor in collator(inputs).items() if torch.is_tensor(tensor)}
                    gold = answers(rows)
                    if writes(model):
                        # An encoder-decoder makes the inputs of its decoder from the labels.
                        translates = getattr(model.config, "is_encoder_decoder", False)
                        scores = gold_log_probabilities(model(**batch).logits, batch["labels"], shift=not translates)
                        answer = {"log_probability": scores}
                    else:
                        batch.pop("labels", None)
                        answer = self.answer(_plain(model(**batch).logits), gold, model.config)
                    self.log.predictions(
                        [row[id_column] for row in rows],
                        gold,
                        **answer,
                        epoch=round(state.epoch),
                        step=state.global_step,
                    )

        def answer(self, logits, gold, config):
            if isinstance(logits[0][0], list):
                # A row per token, without the padding of the batch.
                return {"logits": [row[: len(labels)] for row, labels in zip(logits, gold)]}
            if len(logits[0]) == 1:
                return {"prediction": [row[0] for row in logits]}
            if getattr(config, "problem_type", None) == "regression":
                return {"prediction": logits}
            return {"logits": logits}

        def on_save(self, args, state, control, **_):
            if state.is_world_process_zero:
                folder = os.path.join(args.output_dir, f"checkpoint-{state.global_step}")
                beside = os.path.dirname(os.path.abspath(path))
                self.log.checkpoint(os.path.relpath(folder, beside), epoch=state.epoch, step=state.global_step)

    return AttnCallback()
