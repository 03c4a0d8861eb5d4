"""hostd.toml: defaults, paths, and what every error says."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from hostd import config
from hostd.config import Config, FileSource, NdjsonSink, StdoutSink
from hostd.errors import ConfigError
from hostd.receiving import KINDS as RECEIVED
from hostd.sink_settings import KINDS as SINKS
from hostd.sink_settings import HttpSink


def load(tmp_path: Path, text: str) -> Config:
    """Return the settings that `text` makes."""
    path = tmp_path / "hostd.toml"
    path.write_text(text, encoding="utf-8")
    return config.load(path)


def test_no_file_is_the_defaults_in_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without settings the folders are those of the working directory."""
    monkeypatch.chdir(tmp_path)
    settings = config.load(None)
    assert settings.plugins.folder == tmp_path / "plugins.d"
    assert settings.state.folder == tmp_path / "state"
    assert settings.sources == ()
    assert settings.sinks == (NdjsonSink(folder=tmp_path / "out"),)
    assert (settings.pipeline.source_field, settings.pipeline.memory_mib) == ("@source", 128)
    assert (settings.workers.idle_s, settings.daemon.grace_s) == (30.0, 10.0)
    assert (settings.log.format, settings.log.level) == ("auto", "info")


def test_empty_file_is_the_defaults_in_its_folder(tmp_path: Path) -> None:
    """Every key is optional."""
    assert load(tmp_path, "").plugins.folder == tmp_path / "plugins.d"


def test_relative_paths_are_the_files_and_absolute_ones_stay(tmp_path: Path) -> None:
    """Where the daemon is started from makes no difference."""
    settings = load(
        tmp_path,
        '[plugins]\nfolder = "../p"\n[state]\nfolder = "/var/s"\n'
        '[[sources]]\npaths = ["logs/**/*.log", "/var/log/*"]\nprocessor = "csv"\n'
        '[[sinks]]\nkind = "ndjson"\nfolder = "o"\n[[sinks]]\nkind = "stdout"\nprocessors = ["a*"]\n',
    )
    assert settings.plugins.folder == tmp_path.parent / "p"
    assert settings.state.folder == Path("/var/s")
    assert settings.sources == (FileSource(paths=(f"{tmp_path}/logs/**/*.log", "/var/log/*"), processor="csv"),)
    assert settings.sinks == (NdjsonSink(folder=tmp_path / "o"), StdoutSink(processors=("a*",)))


def test_plugin_options_are_kept_as_they_are(tmp_path: Path) -> None:
    """What they mean is the plugin's to say."""
    settings = load(tmp_path, '[plugins.options.csv]\ndelimiter = ";"\nnested = { a = [1, 2] }\n')
    assert settings.plugins.options == {"csv": {"delimiter": ";", "nested": {"a": [1, 2]}}}


def test_what_is_trusted_by_default_and_as_set(tmp_path: Path) -> None:
    """Owners are checked unless that is switched off; digests may be in capitals; the path counts from the file."""
    assert load(tmp_path, "").plugins.trust == config.Trust(ownership=True, sha256=(), allowed_signers=None)
    settings = load(
        tmp_path,
        f'[plugins.trust]\nownership = false\nsha256 = ["{"AB" * 32}"]\nallowed_signers = "keys/allowed_signers"\n',
    )
    assert settings.plugins.trust == config.Trust(
        ownership=False, sha256=("ab" * 32,), allowed_signers=tmp_path / "keys" / "allowed_signers"
    )


@pytest.mark.parametrize(("busy", "expected"), [(3, 3), (0, 2)])
def test_busy_workers_are_the_cores_unless_set(busy: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 asks the kernel which cores this daemon may use."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: {4, 7}, raising=False)
    assert Config(workers=config.Workers(busy=busy)).busy_workers == expected


@pytest.mark.parametrize(
    ("text", "line", "problem", "remedy"),
    [
        ("[plugin]\n", 1, "setting 'plugin' is not known", "did you mean 'plugins'?"),
        ("[plugins]\nfoldr = 'x'\n", 2, "setting 'plugins.foldr' is not known", "did you mean 'folder'?"),
        ("[zzz]\n", 1, "setting 'zzz' is not known", "known here are plugins, sources, sinks, pipeline, workers, "),
        ("\n[[sources]]\npath = ['x']\n", 3, "setting 'sources.0.path' is not known", "did you mean 'paths'?"),
        ("\n[[sources]]\n", 2, "setting 'sources.0.paths' is missing", "add it"),
        ("[[sources]]\npaths = '*.log'\n", 2, "setting 'sources.0.paths' = '*.log': Input should be a list", "correct"),
        (
            "[[sources]]\nkind = 'http'\npaths = []\n",
            3,
            "setting 'sources.0.paths' is not known",
            "known here are kind, name, processor, spool_mib, listen, sources,",
        ),
        (
            "[[sources]]\nkind = 'kafka'\n",
            2,
            "setting 'sources.0.kind' = 'kafka': there is no such kind",
            'write kind = "file" or kind = "stdin" or kind = "exec" or kind = "http" or kind = "syslog"',
        ),
        ("[[sinks]]\nkind = 'kafka'\n", 2, "setting 'sinks.0.kind' = 'kafka': there is no", 'write kind = "ndjson" or'),
        ("[[sinks]]\nfolder = 'x'\n", 1, "setting 'sinks.0.kind' is missing", 'write kind = "ndjson" or'),
        ("sources = [3]\n", 1, "setting 'sources.0' = 3: Input should be a table", "begin it with [[sources]]"),
        (
            "[[sinks]]\nkind = 'ndjson'\nfoldr = 'x'\n",
            3,
            "setting 'sinks.0.foldr' is not known",
            "did you mean 'folder'",
        ),
        (
            "[[sinks]]\nkind = 'stdout'\nfolder = 'x'\n",
            3,
            "setting 'sinks.0.folder' is not known",
            "known here are kind",
        ),
        ("[workers]\nbusy = -1\n", 2, "setting 'workers.busy' = -1: Input should be greater than or equal to 0", ""),
        ("[workers]\n# busy = 1\nbusy = 'x'\n", 3, "setting 'workers.busy' = 'x': Input should be a valid integer", ""),
        (
            "[plugins]\nfolder = 'x'\n[state]\nfolder = 7\n",
            4,
            "setting 'state.folder' = 7: Input should be a path, as text",
            "",
        ),
        (
            "[pipeline]\nmemory_mib = 1\n",
            2,
            "setting 'pipeline.memory_mib' = 1: Input should be greater",
            "correct that",
        ),
        ("[plugins.sandbox]\nmode = 'on'\n", 2, "setting 'plugins.sandbox.mode' = 'on': Input should be 'auto'", ""),
        (
            "[plugins.sandbox.grants.geo]\nnetwrok = true\n",
            2,
            "setting 'plugins.sandbox.grants.geo.netwrok' is not known",
            "did you mean 'network'?",
        ),
        (
            "[plugins.sandbox.grants.geo]\npaths = ['share']\n",
            2,
            "setting 'plugins.sandbox.grants.geo.paths.0' = 'share': is not an absolute path",
            "correct",
        ),
        ("[log]\nlevel = 'loud'\n", 2, "setting 'log.level' = 'loud': Input should be 'debug', 'info'", "correct that"),
        (
            "[plugins.trust]\nownership = true\nsha256 = ['abc']\n",
            3,
            "setting 'plugins.trust.sha256.0' = 'abc': is not a SHA-256, 64 hexadecimal digits as sha256sum prints",
            "correct that value",
        ),
        (
            "[plugins]\n[plugins.trust]\nalowed_signers = 'x'\n",
            3,
            "setting 'plugins.trust.alowed_signers' is not known",
            "did you mean 'allowed_signers'?",
        ),
        ("log = 3\n", 1, "setting 'log' = 3: Input should be a table", "correct that value"),
        ("[[sources]]\npaths = ['a']\n\n[[sources]]\npaths = 'b'\n", 5, "setting 'sources.1.paths' = 'b': ", "correct"),
        (
            "[[sinks]]\nkind = 'ndjson'\nfolder = 'a'\n[[sinks]]\nkind = 'ndjson'\nfolder = 3\n",
            6,
            "setting 'sinks.1.folder' = 3: Input should be a path, as text",
            "correct",
        ),
        (
            "[[sinks]]\nkind = 'ndjson'\nfolder = 'a'\n[[sinks]]\nkind = 'ndjson'\nfolder = 'a'\n",
            4,
            "two of 'sinks' write to ",
            "give each a place of its own",
        ),
        (
            "[[sources]]\npaths = ['a']\n[[sources]]\npaths = ['b']\n\n[[sources]]\nkind = 'http'\nlisten = 8080\n",
            8,
            "setting 'sources.2.listen' = 8080: Input should be a valid string",
            "correct",
        ),
    ],
)
def test_error_names_file_line_setting_value_and_remedy(
    tmp_path: Path, text: str, line: int, problem: str, remedy: str
) -> None:
    """What is wrong, where, and the way out."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    error = caught.value
    assert error.where == f"{tmp_path / 'hostd.toml'}:{line}"
    assert error.problem.startswith(problem)
    assert error.remedy.startswith(remedy)
    assert str(error) == f"{error.where}: {error.problem}; {error.remedy}"


def test_not_toml_is_said_with_its_line(tmp_path: Path) -> None:
    """The reader's own words say where."""
    with pytest.raises(ConfigError, match=r"is not TOML: .* \(at line 2, column 1\); mend that line"):
        load(tmp_path, "[log]\n=\n")


@pytest.mark.parametrize(
    ("by", "remedy"),
    [("", "check its path, and its mode"), ("HOSTD_CONFIG", "check its path, which HOSTD_CONFIG names, and its mode")],
)
def test_a_file_that_is_not_there_is_said_with_what_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str, remedy: str
) -> None:
    """A named file that cannot be read is never replaced by the defaults."""
    path = tmp_path / "other.toml"
    monkeypatch.delenv("HOSTD_CONFIG", raising=False)
    if by:
        monkeypatch.setenv(by, str(path))
    with pytest.raises(ConfigError) as caught:
        config.load(config.find(None if by else path))
    assert str(caught.value) == f"{path}: cannot be read: No such file or directory; {remedy}"


def test_a_file_that_is_not_utf8_is_said_with_its_line(tmp_path: Path) -> None:
    """Its first byte that is not."""
    path = tmp_path / "hostd.toml"
    path.write_bytes(b"[log]\n# caf\xe9\n")
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert str(caught.value) == f"{path}:2: is not UTF-8; save it as UTF-8"


PYTHON = re.compile(r"dictionary|tuple|instance|<class|discriminator|\btag|\(\)|[Pp]ydantic|NoneType")
WRONG = ("3", "-1", "true", "'x'", "[]", "[3]", "[[]]", "{}", "{ x = 3 }", "1979-05-27", "nan")


def keys(model: type[BaseModel], table: str) -> Iterator[str]:
    """Yield a settings file for each key of a table and of those in it, without its value."""
    for name, field in model.model_fields.items():
        yield f"{table}\n{name}"
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys(inner, f"[{table.strip('[]')}.{name}]" if table else f"[{name}]")


ALL_KEYS = [
    *keys(Config, ""),
    *(
        each
        for kind in ("file", *RECEIVED)
        for each in keys(RECEIVED.get(kind, FileSource), f"[[sources]]\nkind='{kind}'")
    ),
    *(each for kind, model in SINKS.items() for each in keys(model, f"[[sinks]]\nkind='{kind}'")),
    "[plugins.sandbox.grants]\ncsv",
    "[plugins.sandbox.grants.csv]\npaths",
    "[plugins.options]\ncsv",
]


@pytest.mark.parametrize("key", ALL_KEYS)
def test_no_wrong_value_is_answered_in_words_of_python(tmp_path: Path, key: str) -> None:
    """Whatever a key is given, what is wrong is said of TOML, with a line of the file."""
    for value in WRONG:
        text = f"{key} = {value}\n"
        error = refused(tmp_path, text)
        if error is not None and "is not TOML" not in error.problem:  # else it has the key already
            assert not PYTHON.search(error.problem), f"{text}{error}"
            assert 1 <= int(error.where.rpartition(":")[2]) <= text.count("\n"), f"{text}{error}"


def refused(tmp_path: Path, text: str) -> ConfigError | None:
    """Return what is said of settings that are refused."""
    try:
        load(tmp_path, text)
    except ConfigError as error:
        return error
    return None


def test_find_prefers_the_named_then_the_environment_then_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config, $HOSTD_CONFIG, ./hostd.toml, none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOSTD_CONFIG", raising=False)
    assert config.find(None) is None
    (tmp_path / "hostd.toml").touch()
    assert config.find(None) == Path("hostd.toml")
    monkeypatch.setenv("HOSTD_CONFIG", "/etc/hostd.toml")
    assert config.find(None) == Path("/etc/hostd.toml")
    assert config.find(Path("named.toml")) == Path("named.toml")


@pytest.mark.parametrize(
    ("text", "line", "problem", "remedy"),
    [
        (
            "kind = 'http'\nlisten = '0.0.0.0:8080'",
            5,
            "setting 'sources.1.listen': everybody could post to 0.0.0.0:8080",
            "set token_file, or certificate and client_ca, or listen on 127.0.0.1",
        ),
        (
            "kind = 'http'\nlisten = '8080'",
            5,
            "setting 'sources.1.listen' = '8080': is no address; write \"HOST:PORT\"",
            "correct that value",
        ),
        (
            "kind = 'http'\nclient_ca = 'ca.pem'",
            5,
            "setting 'sources.1.client_ca': client_ca is of no use without a certificate",
            "set certificate",
        ),
        (
            "kind = 'syslog'\nlisten = ['udp://127.0.0.1:514', 'tcp://[::]:514']",
            5,
            "setting 'sources.1.listen': everybody could send to tcp://[::]:514",
            "set allow to the networks that may, or for tls:// client_ca, or listen on 127.0.0.1",
        ),
        (
            "kind = 'syslog'\nlisten = ['tls://127.0.0.1:6514']",
            5,
            "setting 'sources.1.listen': tls://127.0.0.1:6514 needs a certificate",
            "set certificate, and key",
        ),
        (
            "kind = 'syslog'\nlisten = ['udp://127.0.0.1:514']\nallow = ['10.0.0.1/8']",
            6,
            "setting 'sources.1.allow.0' = '10.0.0.1/8': 10.0.0.1/8 has host bits set",
            "correct that value",
        ),
        (
            "kind = 'exec'\nname = 'a b'\ncommand = ['x']",
            5,
            "setting 'sources.1.name' = 'a b': String should",
            "correct",
        ),
        ("kind = 'exec'\nname = 'a'\ncommand = []", 6, "setting 'sources.1.command' = []: ", "correct"),
        (
            "kind = 'stdin'\n[[sources]]\nkind = 'stdin'",
            5,
            "setting 'sources.2.name': there are two of kind 'stdin' with the name 'stdin'",
            "give one of them another name",
        ),
    ],
)
def test_a_received_source_that_cannot_be_says_where_and_why(
    tmp_path: Path, text: str, line: int, problem: str, remedy: str
) -> None:
    """What is open to everybody is refused before it listens."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"[[sources]]\npaths = ['*']\n[[sources]]\n{text}\n")
    assert caught.value.where == f"{tmp_path}/hostd.toml:{line}"
    assert caught.value.problem.startswith(problem)
    assert caught.value.remedy.startswith(remedy)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("url = 'http://x/'\nca = 'ca.pem'", 4, "sinks.0.ca' = 'ca.pem': is of no use without TLS; set an https url"),
        ("url = 'https://x/'\nkey = 'x.key'", 4, "sinks.0.key' = 'x.key': is of no use without a certificate; set"),
    ],
)
def test_files_of_an_https_sink_that_are_of_no_use_are_refused(
    tmp_path: Path, text: str, line: int, problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, f"[[sinks]]\nkind = 'http'\n{text}\n")
    assert caught.value.where == f"{tmp_path}/hostd.toml:{line}"
    assert problem in caught.value.problem


def test_files_of_an_https_sink_are_found_from_the_settings_file(tmp_path: Path) -> None:
    text = "ca = 'ca.pem'\ncertificate = 'c.pem'\nkey = '/k.key'"
    [sink] = load(tmp_path, f"[[sinks]]\nkind = 'http'\nurl = 'https://x/'\n{text}\n").sinks
    assert isinstance(sink, HttpSink)
    assert (sink.ca, sink.certificate, sink.key) == (tmp_path / "ca.pem", tmp_path / "c.pem", Path("/k.key"))


def test_a_package_that_is_missing_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file, the line, the key, and what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "aiohttp" else object())
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "[[sources]]\nlisten = '127.0.0.1:80'\nkind = 'http'\n")
    assert str(caught.value) == (
        f"{tmp_path}/hostd.toml:3: setting 'sources.0.kind': kind = \"http\" needs the package aiohttp, which is "
        "not installed; pip install 'hostd[http]'"
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if "opentelemetry" in name else object())
    with pytest.raises(
        ConfigError,
        match=r"otlp = true needs the package opentelemetry-proto, which is not installed; pip install 'hostd\[otlp\]'",
    ):
        load(tmp_path, "[[sources]]\nkind = 'http'\notlp = true\n")


def test_paths_of_received_sources_are_the_files(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        "[[sources]]\nkind = 'http'\ntoken_file = 'token'\n[[sources]]\nkind = 'syslog'\nlisten = ['unix:log']\n"
        "[[sources]]\nkind = 'exec'\nname = 'a'\ncommand = ['x']\nfolder = 'f'\n",
    )
    http, syslog, command = settings.received
    assert getattr(http, "token_file", None) == tmp_path / "token"
    assert getattr(syslog, "listen", None) == (f"unix:{tmp_path}/log",)
    assert getattr(command, "folder", None) == tmp_path / "f"
    assert settings.files == ()


@pytest.mark.parametrize(
    "text",
    [
        '[[sources]]\npaths = ["a\\u0000b"]\n',
        f"[daemon]\ngrace_s = {'9' * 5000}\n",
        f"[plugins.options.x]\na = {'[' * 3000}{']' * 3000}\n",
        f"[plugins.options.x]\na = {'[' * 200}{']' * 200}\n",
        '[[sources]]\nkind = "syslog"\nname = "n"\nlisten = ["tcp://127.0.0..1:514"]\n',
        '[[sources]]\nkind = "http"\nlisten = "' + "a" * 64 + '.example:80"\n',
        '[[sinks]]\nkind = "http"\nurl = "http://h:99999/x"\n',
        '[[sinks]]\nkind = "http"\nurl = "http://[::1/x"\n',
    ],
    ids=["nul", "number", "nesting", "some nesting", "host", "label", "port", "bracket"],
)
def test_what_only_its_use_would_find_is_refused(tmp_path: Path, text: str) -> None:
    """Whatever a library raises of it then: a daemon that reads its settings again must go on."""
    with pytest.raises(ConfigError):
        load(tmp_path, text)
