"""The worker of texts.mjs in Python: the reference worker of @spillway/workers with four more commands."""

import importlib.util
import os
import re
import time

# The path of reference.py: what is installed where is not for this file to know.
_spec = importlib.util.spec_from_file_location("reference", os.environ["REFERENCE_WORKER"])
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

WORKER = os.environ.get("SPILLWAY_WORKER_ID")
PACE_MILLIS = float(os.environ.get("PACE_MILLIS", "0"))
SESSIONS_MAX = int(os.environ.get("SESSIONS_MAX", "1000"))
SLICE_WORDS = 100
HITS_MAX = 10

# By session, the one used longest ago first.
_states = {}


class State:
    def __init__(self):
        self.version = 0
        self.texts = {}
        self.index = {}

    def take(self, name, words):
        for word in self.texts.get(name, ()):
            self.index[word].pop(name, None)
        for word in words:
            counts = self.index.setdefault(word, {})
            counts[name] = counts.get(name, 0) + 1
        self.texts[name] = words
        self.version += 1

    def summary(self, **more):
        return {"worker": WORKER, "version": self.version, "documents": len(self.texts), **more}


def _words(text):
    return re.findall(r"\w+", text.lower())


def _use(session, state):
    _states.pop(session, None)
    _states[session] = state
    # Memory has a bound: who is put out is cold, and is told so.
    while len(_states) > SESSIONS_MAX:
        del _states[next(iter(_states))]


def _state(args):
    state = _states.get(args["session"]) or State()
    if state.version != args["version"]:
        raise reference.Refused("Cold", f"version {state.version} is here, not {args['version']}")
    _use(args["session"], state)
    return state


def add(args, progress):
    state = _state(args)
    words = _words(args["text"])
    for done in range(0, len(words), SLICE_WORDS):
        progress({"done": done, "of": len(words)})
        time.sleep(PACE_MILLIS / 1000)
    state.take(args["name"], words)
    return state.summary(words=len(words))


def search(args, progress):
    state = _state(args)
    counts = state.index.get(args["word"].lower(), {})
    hits = sorted(counts.items(), key=lambda hit: (-hit[1], hit[0]))[:HITS_MAX]
    return state.summary(total=sum(counts.values()), hits=hits)


def load(args, progress):
    state = State()
    for name, text in args["documents"]:
        state.take(name, _words(text))
    _use(args["session"], state)
    return state.summary()


def forget(args, progress):
    return _states.pop(args["session"], None) is not None


reference.COMMANDS.update({"add": add, "search": search, "load": load, "forget": forget})

if __name__ == "__main__":
    reference.main()
