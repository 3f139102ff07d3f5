"""The chores in jobs/: rehearsed first, then run, then run again, each on real files."""

import gzip
import os
import pwd
import shlex
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from file_context import snapshot
from program import Ended, Program

_DAY_S = 24 * 3600


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    directory = tmp_path / "work"
    directory.mkdir()
    with Program(directory) as program:
        yield program


class Chore:
    """One job file with the variables that it is given."""

    def __init__(self, program: Program, file: Path, **given: object) -> None:
        self._program = program
        self._words = [str(file), *given_words(given)]
        self.dir = program.dir

    def run(self, *more: str, env: dict[str, str] | None = None) -> Ended:
        """Run it, with a document on standard output."""
        return self._program.run(*self._words, *more, "--output", "json", env=env)

    def speak(self, *more: str, env: dict[str, str] | None = None) -> Ended:
        """Run it with output for people."""
        return self._program.run(*self._words, *more, env=env)

    def rehearse(self, *more: str, code: int = 0, env: dict[str, str] | None = None) -> Ended:
        """Run it dry; nothing at all may be changed by that."""
        before = snapshot(self.dir)
        ended = self.run("--dry-run", *more, env=env)
        assert ended.code == code, ended.err
        assert snapshot(self.dir) == before
        return ended


def given_words(given: dict[str, object]) -> list[str]:
    return [word for name, value in given.items() for word in ("-e", f"{name}={value}")]


def put(path: Path, text: str = "text\n", *, days: float = 0) -> Path:
    """Make a file that was changed so many days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    age(path, days)
    return path


def age(path: Path, days: float) -> None:
    when = time.time() - days * _DAY_S
    os.utime(path, (when, when))


def files_below(directory: Path) -> list[str]:
    return sorted(
        str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()
    )


GIVEN: dict[str, dict[str, object]] = {
    "archive-old-logs": {"logs": "/a", "archives": "/b"},
    "certificate-expiry": {"targets": "a"},
    "check-services": {"endpoints": "/a"},
    "clean-by-age": {"roots": "/a", "age": "3d"},
    "clean-workspaces": {"root": "/a"},
    "collect-logs": {"targets": "a", "into": "/b"},
    "compress-logs": {"logs": "/a"},
    "convert-files": {"from": "/a", "to": "/b"},
    "convert-media": {"from": "/a", "to": "/b", "original": ".a", "result": ".b", "command": "x"},
    "deploy-files": {"bundle": "/a", "target": "/b", "release": "c"},
    "disk-report": {},
    "find-duplicates": {"tree": "/a", "list": "/b"},
    "dump-databases": {"databases": "a", "dump": "b", "to": "/c"},
    "make-homes": {"list": "/a", "homes": "/b", "skeleton": "/c"},
    "mirror-tree": {"source": "/a", "mirror": "/b"},
    "nightly-archive": {"source": "/a", "backup": "/b"},
    "process-inbox": {"inbox": "/a", "work": "b"},
    "push-configuration": {"targets": "a", "template": "b"},
    "render-configuration": {
        "template": "/a", "into": "/b", "instances": "c", "reload": "d", "health": "e",
    },
    "repair-owners": {"homes": "/a"},
    "repair-permissions": {"list": "/a"},
    "retain-backups": {"backups": "/a"},
    "rollout-instances": {
        "root": "/a", "release": "b", "instances": "c", "restart": "d", "healthy": "e",
    },
    "rolling-restart": {"targets": "a", "balancer": "b"},
    "update-packages": {"targets": "a"},
    "verify-backup": {"backup": "/a"},
    "verify-tree": {"tree": "/a", "manifest": "/b"},
}  # fmt: skip


def test_every_ready_made_job_is_known_here(root: Path) -> None:
    assert sorted(file.stem for file in (root / "jobs").glob("*.yml")) == sorted(GIVEN)


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_the_check_has_nothing_to_say_about_it(root: Path, program: Program, name: str) -> None:
    ended = program.run("check", str(root / f"jobs/{name}.yml"), *given_words(GIVEN[name]))
    assert (ended.code, ended.err) == (0, "")
    assert "warning" not in ended.out


@pytest.mark.parametrize("name", sorted(set(GIVEN) - {"disk-report"}))
def test_without_its_variables_it_says_which_are_missing(
    root: Path, program: Program, name: str
) -> None:
    ended = program.run(str(root / f"jobs/{name}.yml"))
    assert (ended.code, ended.out) == (65, "")
    for variable in GIVEN[name]:
        assert f"-e {variable}=VALUE" in ended.err


def test_old_logs_end_in_a_verified_archive_and_old_archives_go(
    root: Path, program: Program
) -> None:
    logs, archives = program.dir / "logs", program.dir / "archives"
    for name in ("web/a.log.1", "web/a.log.2", "my app/b.log"):
        put(logs / name, name, days=5)
    put(logs / "web/a.log", "now\n")
    put(logs / "idle/c.log", "now\n")
    chore = Chore(program, root / "jobs/archive-old-logs.yml", logs=logs, archives=archives)

    rehearsed = chore.rehearse()
    assert rehearsed.counts["changed"] == 4
    assert chore.run().code == 0

    assert files_below(logs) == ["idle/c.log", "web/a.log"]
    app, web = sorted(archives.iterdir())
    assert (app.name[:7], web.name[:4]) == ("my app-", "web-")
    with tarfile.open(web) as archive:
        assert archive.getnames() == ["a.log.1.gz", "a.log.2.gz"]
        member = archive.extractfile("a.log.2.gz")
        assert member is not None
        assert gzip.decompress(member.read()) == b"web/a.log.2"

    again = chore.run()
    assert (again.code, again.counts.get("changed", 0)) == (0, 0)
    age(web, 100)
    assert chore.run().counts["changed"] == 1
    assert list(archives.iterdir()) == [app]


def test_only_old_unprotected_files_are_cleaned_away(root: Path, program: Program) -> None:
    one, two = program.dir / "one", program.dir / "two"
    outside = put(program.dir / "outside", days=50)
    for name in ("a", "sub/it's b", "sub/.hidden", "README.md", ".keep"):
        put(one / name, days=40)
    put(two / "new", days=1)
    put(two / "old", days=31)
    (two / "link").symlink_to(outside)
    chore = Chore(program, root / "jobs/clean-by-age.yml", roots=f"{one} {two}", age="30d")

    assert chore.rehearse().counts["changed"] == 4
    assert chore.run().counts == {"planned": 4, "ok": 4, "changed": 4}

    assert files_below(program.dir) == [
        "one/.keep",
        "one/README.md",
        "outside",
        "two/link",
        "two/new",
    ]
    assert chore.run().document["counts"]["planned"] == 0


def test_nothing_is_cleaned_away_where_nothing_is_mounted(root: Path, program: Program) -> None:
    old = put(program.dir / "one/old", days=40)
    chore = Chore(
        program,
        root / "jobs/clean-by-age.yml",
        roots=program.dir / "one",
        age="30d",
        mounts=program.dir / "one",
    )
    ended = chore.run()
    assert (ended.code, ended.counts["failed"]) == (2, 1)
    assert old.exists()


def test_only_new_originals_are_converted_and_no_half_result_is_left(
    root: Path, program: Program
) -> None:
    photos, web = program.dir / "photos", program.dir / "web"
    put(photos / "1.tif", "one\n", days=1)
    put(photos / "deep/it's 2.tif", "two\n", days=1)
    given = {"from": photos, "to": web, "original": ".tif", "result": ".jpg"}
    file = root / "jobs/convert-media.yml"
    chore = Chore(program, file, **given, command='tr a-z A-Z < "$SOURCE" > "$TARGET"')

    chore.rehearse()
    assert chore.run().counts["changed"] == 2
    assert files_below(web) == ["1.jpg", "deep/it's 2.jpg"]
    assert (web / "deep/it's 2.jpg").read_text() == "TWO\n"

    assert chore.run().counts == {"planned": 2, "skipped": 2}
    age(photos / "1.tif", -1)
    broken = Chore(program, file, **given, command='echo half > "$TARGET"; exit 3').run()
    assert (broken.code, broken.counts["failed"]) == (2, 1)
    assert files_below(web) == ["1.jpg", "deep/it's 2.jpg"]
    assert (web / "1.jpg").read_text() == "ONE\n"


def test_a_backup_is_verified_and_what_is_wrong_with_it_is_reported(
    root: Path, program: Program
) -> None:
    backup = program.dir / "backup"
    for name in ("monday/f", "tuesday/f"):
        put(backup / name, name)
        subprocess.run("sha256sum f > SHA256SUMS", shell=True, cwd=backup / name[:-2], check=True)
    file = root / "jobs/verify-backup.yml"
    chore = Chore(program, file, backup=backup)

    chore.rehearse()
    before = snapshot(backup)
    good = program.run(str(file), "-e", f"backup={backup}")
    assert good.code == 0
    assert f"{backup}/tuesday/SHA256SUMS" in good.out
    assert "OUTPUT  size of the backup" in good.out
    assert snapshot(backup) == before

    put(backup / "monday/f", "something else")
    bad = program.run(str(file), "-e", f"backup={backup}")
    assert bad.code == 2
    assert f"{backup}/monday/f has another checksum" in bad.out
    for manifest in backup.glob("*/SHA256SUMS"):
        age(manifest, 3)
    stale = program.run(str(file), "-e", f"backup={backup}")
    assert stale.code == 2
    assert "FAILED       the newest backup" in stale.out


def test_a_tree_is_watched_over_from_its_first_run_on(root: Path, program: Program) -> None:
    tree, manifest = program.dir / "tree", program.dir / "sums"
    for name in ("a", "sub/it's b", "sub/two\nlines"):
        put(tree / name, name)
    chore = Chore(program, root / "jobs/verify-tree.yml", tree=tree, manifest=manifest)
    before = snapshot(tree)

    assert chore.run().counts == {"planned": 2, "ok": 2, "changed": 1}
    assert chore.run().counts == {"planned": 2, "ok": 1, "skipped": 1}
    assert snapshot(tree) == before
    subprocess.run(["sha256sum", "--quiet", "-c", manifest], cwd=program.dir, check=True)

    put(tree / "a", "b")
    (tree / "sub/it's b").unlink()
    wrong = chore.speak()
    assert wrong.code == 2
    assert "tree/a has another checksum than the manifest says" in wrong.out
    assert "it's b" in wrong.out


def test_homes_are_given_back_to_their_users(root: Path, program: Program) -> None:
    homes = program.dir / "homes"
    outside = put(program.dir / "outside")
    for name in ("daemon/f", "daemon/deep/g", "bin/h", "lost+found/i", "nobody's/j"):
        put(homes / name)
    (homes / "daemon/link").symlink_to(outside)
    chore = Chore(program, root / "jobs/repair-owners.yml", homes=homes, group="daemon")

    chore.rehearse(code=2)
    ended = chore.speak()

    assert ended.code == 2
    assert "there is no user nobody's on this machine" in ended.out
    owners = {path.name: path.lstat().st_uid for path in sorted(program.dir.rglob("*"))}
    uid = {name: pwd.getpwnam(name).pw_uid for name in ("daemon", "bin")}
    assert owners["f"] == owners["g"] == owners["link"] == owners["deep"] == uid["daemon"]
    assert owners["h"] == uid["bin"]
    assert owners["i"] == owners["j"] == owners["outside"] == os.geteuid()


def test_duplicates_are_listed_and_none_is_touched(root: Path, program: Program) -> None:
    tree, found = program.dir / "tree", program.dir / "found"
    for name in ("a", "sub/b", "sub/c"):
        put(tree / name, "the same\n")
    put(tree / "else", "else\n")
    before = snapshot(tree)
    chore = Chore(program, root / "jobs/find-duplicates.yml", tree=tree, list=found)

    chore.rehearse()
    assert "    3\n" in chore.speak().out

    assert [line[66:] for line in found.read_text().splitlines()] == [
        "tree/a", "tree/sub/b", "tree/sub/c",
    ]  # fmt: skip
    assert snapshot(tree) == before
    (tree / "a").unlink()
    (tree / "sub/b").unlink()
    assert "    0\n" in chore.speak().out
    assert found.read_text() == ""


def test_a_mirror_is_guarded_and_keeps_what_it_replaces(root: Path, program: Program) -> None:
    source, mirror = program.dir / "source", program.dir / "backup/mirror"
    for number in range(30):
        put(source / f"d{number % 3}/{number}", f"{number}", days=5)
    chore = Chore(program, root / "jobs/mirror-tree.yml", source=source, mirror=mirror)
    chore.rehearse()
    assert chore.run().code == 0
    assert files_below(mirror) == files_below(source)

    put(source / "d0/0", "new")
    (source / "d1/1").unlink()
    old = put(program.dir / "backup/mirror.replaced/2001-01-01/f", days=40).parent
    age(old, 40)
    chore.rehearse()
    assert chore.run().code == 0
    assert not old.exists()
    (kept,) = (program.dir / "backup/mirror.replaced").iterdir()
    assert files_below(kept) == ["d0/0", "d1/1"]
    assert (kept / "d0/0").read_text() == "0"

    for number in range(2, 20):
        (source / f"d{number % 3}/{number}").unlink()
    before = files_below(mirror)
    refused = chore.run()
    assert refused.code == 2
    assert "max_delete (10%)" in refused.out
    assert files_below(mirror) == before


def test_backups_are_thinned_out_each_kind_by_itself(root: Path, program: Program) -> None:
    backups = program.dir / "backups"
    for number in range(100):
        put(backups / f"db-{number:03}.gz", days=number)
        put(backups / f"web-{number:03}.gz", days=number)
    put(backups / "README", days=1000)
    chore = Chore(program, root / "jobs/retain-backups.yml", backups=backups, daily=3, weekly=1,
                  monthly=1)  # fmt: skip
    chore.rehearse()
    assert chore.run().code == 0
    assert files_below(backups) == [
        "README", *(f"{name}-{number:03}.gz" for name in ("db", "web") for number in range(3))
    ]  # fmt: skip
    assert chore.run().code == 0


def test_permissions_are_repaired_as_the_list_says(root: Path, program: Program) -> None:
    tree = program.dir / "tree"
    put(tree / "sub/f").chmod(0o666)
    outside = put(program.dir / "outside")
    (tree / "link").symlink_to(outside)
    found = outside.stat()
    user, group = (subprocess.run(["id", word], capture_output=True, text=True, check=True)
                   .stdout.strip() for word in ("-un", "-gn"))  # fmt: skip
    lines = f'path,owner,group,mode,dir_mode\n{tree},{user},{group},"u=rw,g=r,o=",2750\n'
    chore = Chore(
        program, root / "jobs/repair-permissions.yml", list=put(program.dir / "list.csv", lines)
    )

    assert chore.rehearse().counts["changed"] == 1
    assert chore.run().counts == {"planned": 1, "ok": 1, "changed": 1}
    modes = {path.name: path.lstat().st_mode & 0o7777 for path in (tree, *tree.rglob("*"))}
    assert (modes["tree"], modes["sub"], modes["f"]) == (0o2750, 0o2750, 0o640)
    # All but the time when it was read: the rehearsal is watched by reading everything.
    assert outside.stat().st_ctime_ns == found.st_ctime_ns
    assert outside.stat().st_mode == found.st_mode

    assert chore.run().counts == {"planned": 1, "ok": 1}


def test_a_configuration_that_breaks_its_service_is_taken_back(
    root: Path, program: Program
) -> None:
    top = program.dir
    template = put(top / "app.j2", "{% for i in instances %}\npeer {{ i.name }}\n{% endfor %}\n"
                                   "listen {{ item.port }}\n")  # fmt: skip
    put(
        top / "vars.yml",
        f"template: {template}\ninto: {top}/etc\ninterval: 10ms\n"
        "instances: [{name: one, port: 8001}, {name: two, port: 8002}]\n"
        'validate: grep -q listen "$1"\n'
        f'reload: echo "$INSTANCE" >> {top}/reloads\n'
        'health: grep -q "listen $PORT" "$CONFIG" && ! grep -q broken "$CONFIG"\n',
    )
    chore = Chore(program, root / "jobs/render-configuration.yml")
    words = ("--vars-file", str(top / "vars.yml"))

    assert chore.rehearse(*words).counts["changed"] == 2
    assert chore.run(*words).counts["changed"] == 2
    one = top / "etc/one.conf"
    assert one.read_text() == "peer one\npeer two\nlisten 8001\n"
    assert one.stat().st_mode & 0o777 == 0o640
    assert (top / "reloads").read_text() == "one\ntwo\n"
    assert chore.run(*words).counts == {"planned": 2, "ok": 2}

    before = one.read_text()
    put(template, template.read_text() + "broken\n")
    taken_back = chore.run(*words)
    assert (taken_back.code, taken_back.counts["failed"]) == (5, 1)
    assert one.read_text() == before
    assert (top / "reloads").read_text() == "one\ntwo\none\none\n"
    put(template, "nothing to hear\n")
    refused = chore.run(*words)
    assert refused.code == 5
    assert (one.read_text(), files_below(top / "etc")) == (before, ["one.conf", "two.conf"])
    assert (top / "reloads").read_text() == "one\ntwo\none\none\n"


def test_databases_are_dumped_with_a_password_that_shows_nowhere(
    root: Path, program: Program
) -> None:
    password = "correct-horse-battery"  # made up for this test
    dump = put(
        program.dir / "dump.sh",
        f'#!/bin/sh\n[ "$PGPASSWORD" = {password} ] || exit 3\necho "-- $DATABASE"\n'
        'echo "logged in with $PGPASSWORD" >&2\n',
    )
    dump.chmod(0o755)
    dumps = program.dir / "dumps"
    chore = Chore(
        program,
        root / "jobs/dump-databases.yml",
        databases="shop wiki",
        to=dumps,
        dump=dump,
        variable="PGPASSWORD",
        day="today",
    )
    env = {"DUMP_PASSWORD": password}

    chore.rehearse(env=env)
    ended = chore.speak("-v", env=env)
    assert ended.code == 0
    assert files_below(dumps) == ["SHA256SUMS", "shop-today.sql.gz", "wiki-today.sql.gz"]
    assert gzip.decompress((dumps / "wiki-today.sql.gz").read_bytes()) == b"-- wiki\n"
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=dumps, check=True)
    assert "logged in with ***" in ended.err
    assert password not in ended.out + ended.err

    assert chore.run(env=env).counts.get("changed", 0) == 0
    old = put(dumps / "shop-long-ago.sql.gz", days=20)
    assert chore.run(env=env).code == 0
    assert not old.exists()


def test_a_real_database_is_dumped_and_a_dump_that_fails_leaves_nothing(
    root: Path, program: Program
) -> None:
    database = program.dir / "app.db"
    script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); "
    make = script + "db.executescript('create table t(a); insert into t values(42);')"
    subprocess.run(["python3", "-c", make, database], check=True)
    show = script + "print(*db.iterdump(), sep=chr(10))"
    command = f'python3 -c {shlex.quote(show)} "$DATABASE"'
    file = root / "jobs/dump-databases.yml"
    given = {"to": program.dir / "dumps", "day": "today"}
    env = {"DUMP_PASSWORD": "not needed here"}

    good = Chore(program, file, databases=database, dump=command, **given).run(env=env)
    assert good.code == 0
    dump = gzip.decompress((program.dir / "dumps/app.db-today.sql.gz").read_bytes())
    assert b'INSERT INTO "t" VALUES(42)' in dump

    failing = Chore(program, file, databases="other", dump="echo half; exit 4", **given)
    ended = failing.run("--retries", "0", env=env)
    assert (ended.code, ended.counts["failed"]) == (2, 1)
    assert files_below(program.dir / "dumps") == ["SHA256SUMS", "app.db-today.sql.gz"]


def test_the_disk_report_is_printed_and_a_full_disk_is_a_failure(
    root: Path, program: Program
) -> None:
    put(program.dir / "large file", "x" * 5000)
    put(program.dir / "sub/small")
    file = str(root / "jobs/disk-report.yml")
    words = ("-e", f"paths={program.dir}", "-e", "large=4000")
    before = snapshot(program.dir)

    good = program.run(file, *words, "-e", "limit_percent=100")
    assert good.code == 0
    assert "OUTPUT  usage" in good.out
    assert f"{program.dir}/sub" in good.out
    assert f"{program.dir}/large file" in good.out
    assert "small" not in good.out

    full = program.run(file, *words, "-e", "limit_percent=0", "--dry-run")
    assert full.code == 2
    assert "over the limit" in full.out
    assert snapshot(program.dir) == before


def test_each_archive_of_the_inbox_goes_through_all_stages_by_itself(
    root: Path, program: Program
) -> None:
    inbox = program.dir / "inbox"
    put(program.dir / "made/d/f", "inside\n")
    inbox.mkdir()
    for name in ("good.tar.gz", "also good.tar.gz"):
        subprocess.run(["tar", "-czf", inbox / name, "-C", program.dir / "made", "d"], check=True)
    work = f'cat "$FOLDER/d/f" >> {program.dir}/taken'
    chore = Chore(program, root / "jobs/process-inbox.yml", inbox=inbox, work=work)

    assert chore.rehearse().counts["changed"] == 2
    put(inbox / "broken.tar.gz", "junk")
    put(inbox / "unfinished.part", "later")
    ended = chore.run()
    assert (ended.code, ended.counts["ok"], ended.counts["failed"]) == (2, 2, 1)

    assert (program.dir / "taken").read_text() == "inside\n" * 2
    assert files_below(inbox) == [
        "done/also good.tar.gz",
        "done/good.tar.gz",
        "rejected/broken.tar.gz",
        "rejected/broken.tar.gz.reason",
        "unfinished.part",
    ]
    assert "not valid gz data" in (inbox / "rejected/broken.tar.gz.reason").read_text()
    assert chore.run().document["counts"]["planned"] == 0


def test_a_release_is_rolled_out_in_waves_and_a_sick_instance_goes_back(
    root: Path, program: Program
) -> None:
    top = program.dir
    for release in ("1.4", "1.5"):
        put(top / f"app/releases/{release}/version", release)

    def chore(release: str) -> Chore:
        return Chore(
            program,
            root / "jobs/rollout-instances.yml",
            root=top / "app",
            release=release,
            instances="a b c d",
            restart=f'echo "$INSTANCE" >> {top}/restarts',
            healthy=f'test -e "{top}/app/$INSTANCE/current/version" && ! test -e {top}/sick',
            pause="10ms",
            interval="10ms",
        )

    def versions() -> set[str]:
        return {(top / f"app/{name}/current/version").read_text() for name in "abcd"}

    assert chore("1.4").rehearse().counts["changed"] == 4
    assert chore("1.4").run().code == 0
    assert (top / "restarts").read_text() == "a\nb\nc\nd\n"
    assert chore("1.4").run().counts == {"planned": 5, "ok": 5}
    assert versions() == {"1.4"}

    (top / "sick").touch()
    ended = chore("1.5").run()
    assert (ended.code, ended.counts["failed"]) == (5, 1)
    assert versions() == {"1.4"}
    assert (top / "restarts").read_text() == "a\nb\nc\nd\na\na\n"
    (top / "sick").unlink()
    missing = chore("1.6").run()
    assert (missing.code, versions()) == (2, {"1.4"})


def test_homes_are_made_from_a_list_and_what_their_people_change_stays(
    root: Path, program: Program
) -> None:
    put(program.dir / "skel/.profile", "PS1=x\n")
    put(program.dir / "skel/Mail/note")
    user, group = (subprocess.run(["id", word], capture_output=True, text=True, check=True)
                   .stdout.strip() for word in ("-un", "-gn"))  # fmt: skip
    people = put(program.dir / "people.csv", f"login,group,full_name\n{user},{group},Anna Nowak\n")
    homes = program.dir / "homes"
    chore = Chore(
        program,
        root / "jobs/make-homes.yml",
        list=people,
        homes=homes,
        skeleton=program.dir / "skel",
    )

    chore.rehearse()
    assert chore.run().counts == {"planned": 1, "ok": 1, "changed": 1}
    home = homes / user
    assert files_below(home) == [".profile", ".welcome", "Mail/note"]
    assert (home / ".welcome").read_text() == "Welcome, Anna Nowak.\n"
    assert home.stat().st_mode & 0o777 == 0o750

    (home / ".profile").write_text("PS1=mine\n")
    assert chore.run().counts == {"planned": 1, "ok": 1}
    assert (home / ".profile").read_text() == "PS1=mine\n"
