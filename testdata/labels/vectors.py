"""Writes labels.jsonl and links.jsonl, the vectors of the label tests: python3 vectors.py

The rule is that of hermes.md 1.1; paths are resolved by pathlib and digested by hashlib, as in
Hermes. With two arguments, ACCOUNT and HERMES_HOME, it prints one vector.
"""

import hashlib
import json
import os
import re
import sys
import tempfile
import unicodedata
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def vector(account, hermes_home):
    native = (Path(account) / ".hermes").resolve()
    value = hermes_home.strip()
    if value == "~" or value.startswith("~/"):
        value = account + value[1:]
    given = Path(value) if value else native
    home = given.resolve()
    if home == native or native in home.parents:
        root = native
    elif given.parent.name == "profiles":
        root = given.parent.parent.resolve()
    else:
        root = home
    if home == native:
        suffix = ""
    elif home.parent == (root / "profiles").resolve() and NAME.fullmatch(home.name):
        suffix = "-" + home.name
    else:
        suffix = "-" + hashlib.sha256(str(home).encode()).hexdigest()[:8]
    return {
        "account": account,
        "hermes_home": hermes_home,
        "native": str(native),
        "root": str(root),
        "home": str(home),
        "label": "ai.hermes.gateway" + suffix,
    }


def write(name, rows):
    with open(HERE / name, "w", encoding="utf-8") as out:
        for row in rows:
            out.write(json.dumps(row) + "\n")


def labels():
    account = "/Users/ada"
    hermes = account + "/.hermes"
    long = "/Volumes/" + "/".join(["a folder with a long name"] * 5)
    cafe = "/Volumes/Caf\u00e9 \u2615/hermes"
    homes = [
        "", " ", "~", "~/.hermes", "~/.hermes/", " ~/.hermes/profiles/work ", "/Users/eve/x/..",
        hermes, hermes + "/", hermes + "//", "/" + hermes, hermes + "/.", hermes + "/profiles/..", hermes + "\n",
        hermes + "/profiles", hermes + "/profiles/", hermes + "/x", hermes + "/hermes-agent/profiles/work",
        hermes + "2", hermes + "-x/profiles/work", account, account + "/profiles/work",
    ]
    for name in [
        "work", "work/", "work/.", "a", "0", "9-_", "ops", "ops-2", "gateway", "default", "hermes", "reload",
        "Work", "WORK", "Bad Name!", "-x", "_x", "x.y", "x y", "x'y", 'x"y', "a/b", "a/../b", "caf\u00e9", "cafe\u0301",
        "\u0430dmin", "a" * 63, "a" * 64, "a" * 65, "deadbeef", "\u212a", ".hidden", "x$y", "x%41", "\\", "a:b",
    ]:
        homes.append(hermes + "/profiles/" + name)
        homes.append("/opt/hermes-gw-nowhere/data/profiles/" + name)
    homes += [
        "/opt/hermes-gw-nowhere", "/opt/hermes-gw-nowhere/profiles", "/opt/hermes-gw-nowhere/profiles/profiles",
        "/hermes-gw-nowhere", "/", "//", "/profiles", "/profiles/work", "/profiles/work/profiles/x",
        "/Volumes/My Disk/hermes", "/Volumes/My Disk/hermes/profiles/work", "/Volumes/It's/\"hermes\"",
        "/Volumes/a\tb/hermes", "/Volumes/a\nb/hermes", "/Volumes/back\\slash/hermes", "/Volumes/\U0001f98a/hermes",
        cafe, unicodedata.normalize("NFD", cafe), "/Volumes/\u7528\u6237/\u7231\u9a6c\u4ed5", "/Volumes/\u202etxt/hermes",
        long, long + "/", long + "/profiles/work", long + "/profiles/Bad Name!",
    ]
    rows = [vector(account, home) for home in homes]
    for account in ["/Users/Ada Lovelace", "/Users/Zo\u00eb", "/Users/Zoe\u0308", "/Users/ada/", "/hermes-gw-nowhere"]:
        for home in ["", "~/.hermes/profiles/work", "~/.hermes/x", "~/.hermes", "/Users/ada/.hermes"]:
            rows.append(vector(account, home))
    return rows


def links(base):
    """Vectors with symbolic links; $BASE stands for the folder, # for the digest."""
    rows = []
    for dirs, made, homes in [
        (["home", "disk/h/profiles/work"], {"home/.hermes": "../disk/h"},
         ["", "~/.hermes/profiles/work", "$BASE/disk/h", "$BASE/disk/h/profiles/work", "$BASE/disk/h/x"]),
        (["real"], {"home": "real"}, ["", "~/.hermes/profiles/a", "$BASE/real/.hermes", "$BASE/real/.hermes/profiles/a"]),
        (["home/.hermes/profiles", "data/work"], {"home/.hermes/profiles/work": "$BASE/data/work"},
         ["~/.hermes/profiles/work", "$BASE/data/work"]),
        (["home/.hermes/profiles", "data/profiles/foo"], {"home/.hermes/profiles/linked": "$BASE/data/profiles/foo"},
         ["~/.hermes/profiles/linked", "$BASE/data/profiles/foo"]),
        (["home/.hermes", "data/work"], {"home/.hermes/profiles": "../../data"},
         ["~/.hermes/profiles/work", "$BASE/data/work", "~/.hermes/profiles/not-yet"]),
        (["opt/root/profiles/work", "home"], {"short": "opt/root/profiles/work", "r": "opt/root"},
         ["$BASE/short", "$BASE/r", "$BASE/r/profiles/work", "$BASE/opt/root/profiles/work", "$BASE/short/../ops"]),
        (["opt/root", "home", "data/work"], {"opt/root/profiles": "../../data", "up": "opt/root/profiles/work/.."},
         ["$BASE/opt/root/profiles/work", "$BASE/opt/root/profiles/new", "$BASE/up", "$BASE/up/x/../work"]),
        (["home"], {"dangling": "nowhere/else", "one": "two", "two": "three", "three": "home/.hermes"},
         ["$BASE/dangling", "$BASE/dangling/x/../y", "$BASE/one", "$BASE/one/profiles/z"]),
    ]:
        with tempfile.TemporaryDirectory(dir=base) as folder:
            folder = os.path.realpath(folder)
            for d in dirs:
                os.makedirs(os.path.join(folder, d), exist_ok=True)
            for name, target in made.items():
                os.symlink(target.replace("$BASE", folder), os.path.join(folder, name))
            for home in homes:
                row = vector(folder + "/home", home.replace("$BASE", folder))
                if row["label"].endswith("-" + hashlib.sha256(row["home"].encode()).hexdigest()[:8]):
                    row["label"] = "ai.hermes.gateway-#"
                row = {key: value.replace(folder, "$BASE") for key, value in row.items()}
                rows.append({"dirs": dirs, "links": made, **row})
    return rows


if len(sys.argv) > 1:
    print(json.dumps(vector(*sys.argv[1:])))
else:
    write("labels.jsonl", labels())
    with tempfile.TemporaryDirectory() as base:
        write("links.jsonl", links(base))
