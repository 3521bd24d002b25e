#!/usr/bin/env python3
"""Tokens and vectors of the original sentence encoder for examples/11_sentence_encoder.c.

    python3 tests/golden/make_sentences_golden.py FOLDER     needs torch, transformers, safetensors; FOLDER: the model's
                                                             writes tests/golden/sentences.safetensors

The model is Hugging Face's BertModel with the tokenizer of tokenizer.json, then what modules.json says: mean pooling over the
tokens, length 1.
"""
import os
import sys

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import BertModel

SENTENCES = [
    "A man is eating a piece of bread.", "Someone eats some food.",
    "The new movie was awesome.", "I really enjoyed that film!",
    "The girl is carrying a baby.", "It rains heavily in the mountains today.",
    "Antidisestablishmentarianism isn't e-mailed for $3.50, is it?",
]

folder = sys.argv[1]
tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
tokenizer.no_truncation()
tokenizer.enable_padding()
encoded = tokenizer.encode_batch(SENTENCES)
ids = torch.tensor([e.ids for e in encoded])
mask = torch.tensor([e.attention_mask for e in encoded])
model = BertModel.from_pretrained(folder, attn_implementation="eager").double().eval()
with torch.no_grad():
    states = model(input_ids=ids, attention_mask=mask).last_hidden_state
    mean = (states * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
    vectors = torch.nn.functional.normalize(mean)
print((vectors @ vectors.T).numpy().round(3))
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sentences.safetensors")
save_file({"ids": ids.float().contiguous(), "embeddings": vectors.float().contiguous()}, path)
print(os.path.getsize(path), "bytes")
