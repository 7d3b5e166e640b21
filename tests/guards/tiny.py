"""Checkpoints of every row's architecture, with random weights and a tokenizer that reads bytes, made by transformers.

Each has the control tokens and a chat template in the form of the published model's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from guards.rows import ROWS, Classifier, Writer

CONTROL = {
    "llama-guard-3": ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "llama-guard-4": ("<|begin_of_text|>", "<|header_start|>", "<|header_end|>", "<|eot|>"),
    "shieldgemma": ("<bos>", "<start_of_turn>", "<end_of_turn>"),
    "granite-guardian": ("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>"),
    "qwen3guard": ("<|im_start|>", "<|im_end|>"),
    "gpt-oss-safeguard": ("<|start|>", "<|channel|>", "<|message|>", "<|end|>"),
    "prompt-guard-2": ("[CLS]", "[SEP]", "[PAD]"),
}
LAST = "{% set judged = 'Agent' if messages[-1].role == 'assistant' else 'User' %}"
TEMPLATES = {
    "llama-guard-3": LAST + "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nIs {{ judged }} safe?\n"
    "{% for m in messages %}{{ m.role }}: {{ m.content | trim }}\n{% endfor %}"
    "<|eot_id|><|start_header_id|>assistant<|end_header_id|>",
    "llama-guard-4": LAST + "<|begin_of_text|><|header_start|>user<|header_end|>\n\nIs {{ judged }} safe?\n"
    "{% for m in messages %}{{ m.role }}: {% for c in m.content %}{{ c.text }}{% endfor %}\n{% endfor %}"
    "<|eot|><|header_start|>assistant<|header_end|>\n\n",
    "shieldgemma": "<bos>A policy.\n\n<start_of_turn>\nHuman Question: {{ messages[0].content }}\n<end_of_turn>\n"
    "{% if messages | length > 1 %}<start_of_turn>\nChatbot Response: {{ messages[1].content }}\n<end_of_turn>\n"
    "{% endif %}\n* {{ guideline }}\n===\nYes or No?\n",
    "granite-guardian": "<|start_of_role|>user<|end_of_role|>Risk: {{ guardian_config.risk_name }}\n"
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}<|end_of_text|>\n"
    "<|start_of_role|>assistant<|end_of_role|>",
    "qwen3guard": LAST + "<|im_start|>user\nIs {{ judged }} safe?\n{% for m in messages %}{{ m.role }}: "
    "{{ m.content }}\n{% endfor %}<|im_end|>\n<|im_start|>assistant\n",
    "gpt-oss-safeguard": "<|start|>system<|message|>Reasoning: {{ reasoning_effort }}<|end|>"
    "{% for m in messages %}<|start|>{{ 'developer' if m.role == 'system' else m.role }}<|message|>{{ m.content }}"
    "<|end|>{% endfor %}<|start|>assistant",
}
SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 8192,
    "pad_token_id": None,
    "bos_token_id": 0,
    "eos_token_id": 1,
}


def make(folder: Path, name: str, seed: int = 3) -> Path:
    """A checkpoint for the row `name` in `folder`/checkpoint; returns `folder`, a version folder."""
    row, checkpoint = ROWS[name], folder / "checkpoint"
    assert not hasattr(row, "verdict")
    tokenizer = _unigram(CONTROL[name]) if isinstance(row, Classifier) else _bytes(row, CONTROL[name])
    torch.manual_seed(seed)
    model = MODELS[name](tokenizer.get_vocab_size())
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(checkpoint)
    tokenizer.save(str(checkpoint / "tokenizer.json"))
    told: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    if name in TEMPLATES:
        told["chat_template"] = TEMPLATES[name]
    (checkpoint / "tokenizer_config.json").write_text(json.dumps(told))
    return folder


def _bytes(row: Writer, control: tuple[str, ...]) -> Tokenizer:
    """Byte-level BPE in which the row's answers are words, as they are in the published ones."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    answers = [answer for ask in row.asks for answer in (*ask.verdict, *ask.categories)]
    trainer = trainers.BpeTrainer(
        vocab_size=1000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([answer for answer in answers for _ in range(3)], trainer)
    tokenizer.add_special_tokens(list(control))
    return tokenizer


def _unigram(control: tuple[str, ...]) -> Tokenizer:
    """As DeBERTa's of many languages: its control tokens are pieces, too, and better ones than letters."""
    letters = [(chr(code), -4.0) for code in range(33, 127)]
    tokenizer = Tokenizer(models.Unigram([*((one, 0.0) for one in control), ("<unk>", -9.0), ("▁", -3.0), *letters], 3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    marks = [(one, tokenizer.token_to_id(one)) for one in control[:2]]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", marks)
    tokenizer.add_special_tokens(list(control))
    return tokenizer


def _llama4(vocabulary: int) -> Any:
    """As published: with eyes, of which only the text part is loaded."""
    text: dict[str, Any] = {
        **SMALL,
        "vocab_size": vocabulary,
        "intermediate_size_mlp": 32,
        "interleave_moe_layer_step": 0,
    }
    text |= {"moe_layers": [], "num_local_experts": 1, "attention_chunk_size": 8192, "no_rope_layers": [1, 0]}
    vision: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    vision |= {"vision_output_dim": 16, "projector_input_dim": 16, "projector_output_dim": 16, "image_size": 28}
    config = transformers.Llama4Config(vision_config=vision, text_config=text)
    return transformers.Llama4ForConditionalGeneration(config)


MODELS: dict[str, Callable[[int], Any]] = {
    "llama-guard-3": lambda n: transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=n, **SMALL)),
    "llama-guard-4": _llama4,
    "shieldgemma": lambda n: transformers.Gemma2ForCausalLM(transformers.Gemma2Config(vocab_size=n, **SMALL)),
    "granite-guardian": lambda n: transformers.GraniteForCausalLM(transformers.GraniteConfig(vocab_size=n, **SMALL)),
    "qwen3guard": lambda n: transformers.Qwen3ForCausalLM(transformers.Qwen3Config(vocab_size=n, **SMALL)),
    "gpt-oss-safeguard": lambda n: transformers.GptOssForCausalLM(
        transformers.GptOssConfig(vocab_size=n, num_local_experts=4, num_experts_per_tok=2, **SMALL)
    ),
    "prompt-guard-2": lambda n: transformers.DebertaV2ForSequenceClassification(
        transformers.DebertaV2Config(
            vocab_size=n,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=32,
            max_position_embeddings=512,
            relative_attention=True,
            pos_att_type=["p2c", "c2p"],
            position_biased_input=False,
            type_vocab_size=0,
            num_labels=2,
        )
    ),
}
