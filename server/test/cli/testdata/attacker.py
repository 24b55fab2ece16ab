#!/usr/bin/env python3
"""Tries what a confined program must not do, bounded, and says how far it came.

Its prompt is JSON. With "wait" it is a neighbour: it works for a while and ends well.
"""
import json, os, socket, sys, time

asked = json.load(sys.stdin)
if "wait" in asked:
    print(os.path.dirname(os.environ["ERRAND_TASK_FILE"]), flush=True)
    for i in range(asked["wait"]):
        time.sleep(0.1)
    with open(os.path.join(os.environ["ERRAND_OUT"], "kept.txt"), "w") as kept:
        kept.write("kept")
    print("done")
    sys.exit()
if "burn" in asked:
    while True:
        pass
if "stay" in asked:
    if os.fork() == 0:
        os.setsid()
        os.execvp("sleep", ["sleep", asked["stay"]])
    print("stays", flush=True)
    time.sleep(600)


def attempt(name, act):
    try:
        print(name, "reached", act(), flush=True)
    except (OSError, MemoryError) as e:
        print(name, "refused", type(e).__name__, flush=True)


def read(*path):
    with open(os.path.join(*path), "rb") as f:
        return len(f.read(100))


def dial(host, port):
    socket.create_connection((host, port), timeout=5).close()


def forks():
    children, limit = [], None
    try:
        for _ in range(asked["forks"]):
            pid = os.fork()
            if pid == 0:
                time.sleep(600)
            children.append(pid)
    except OSError as e:
        limit = e
    for pid in children:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    print("children", len(children), flush=True)
    if limit:
        raise limit


attempt("neighbour", lambda: read(asked["neighbour"], "task.json"))
attempt("neighbours", lambda: os.listdir(asked["neighbour"]))
attempt("data", lambda: read(asked["data"], "admin.key"))
attempt("database", lambda: read(asked["data"], "errand.db"))
attempt("environment", lambda: read("/proc", str(asked["pid"]), "environ"))
attempt("signal", lambda: os.kill(asked["pid"], 0))
attempt("server", lambda: dial("127.0.0.1", asked["port"]))
attempt("shadow", lambda: read("/etc/shadow"))
if asked["forks"]:
    attempt("metadata", lambda: dial("169.254.169.254", 80))
    attempt("system", lambda: open("/usr/errand-was-here", "w"))
    attempt("kernel", lambda: open("/proc/sys/kernel/core_pattern", "r+"))
    attempt("memory", lambda: len(bytearray(1 << 30)))
    attempt("forks", forks)
