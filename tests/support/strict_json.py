"""Fails unless every file named is JSON by the letter: UTF-8, no NaN or Infinity, no number that is infinite as a double."""
import json
import math
import sys


def refuse(text):
    raise ValueError(text + " is no JSON")


def finite(text):
    return float(text) if math.isfinite(float(text)) else refuse(text)


for path in sys.argv[1:]:
    with open(path, "rb") as file:
        try:
            json.loads(file.read().decode("utf-8"), parse_constant=refuse, parse_float=finite)
        except ValueError as error:
            sys.exit(f"{path}: {error}")
