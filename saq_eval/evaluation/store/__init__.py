"""The store: what a comparison has computed, in files that survive it, each under a key of all that determines it."""

from saq_eval.evaluation.store.entries import Damaged, Entry, Key, read_entry, write_entry
from saq_eval.evaluation.store.keys import Keys
from saq_eval.evaluation.store.store import Store, make_store, warn_of_damage

__all__ = ["Damaged", "Entry", "Key", "Keys", "Store", "make_store", "read_entry", "warn_of_damage", "write_entry"]
