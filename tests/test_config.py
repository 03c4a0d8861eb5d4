"""hostd.toml: defaults, paths, and what every error says."""

from pathlib import Path

import pytest

from hostd import config
from hostd.config import Config, FileSource, NdjsonSink, StdoutSink
from hostd.errors import ConfigError


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
            2,
            "setting 'sources.0.kind' = 'http': Input should be 'file'",
            "",
        ),
        ("[[sinks]]\nkind = 'kafka'\n", 1, "setting 'sinks.0': Input tag 'kafka' found", 'write kind = "ndjson" or'),
        ("[[sinks]]\nfolder = 'x'\n", 1, "setting 'sinks.0': Unable to extract tag", 'write kind = "ndjson" or'),
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
            "setting 'state.folder' = 7: Input is not a valid path",
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
        ("log = 3\n", 1, "setting 'log' = 3: Input should be a valid dictionary", "correct that value"),
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


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["missing", "not UTF-8"])
def test_unreadable_file_is_said(tmp_path: Path, content: bytes | None) -> None:
    """A named file that cannot be read is never replaced by the defaults."""
    path = tmp_path / "other.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"other\.toml: cannot be read: .*; check the path given with --config"):
        config.load(path)


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
