from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.model import Credentials, Reference, Repository
from orchestrator.core.promotion_rules import Rules
from orchestrator.core.settings import (
    EnvironmentProvider,
    EnvironmentSettings,
    Settings,
    branch_for_environment,
    branches_for_environment,
    environment_file_candidates,
    environment_for_branch,
    parse_settings,
)
from tests.core.builders import SETTINGS_SCHEMA, make_settings, settings_problems

EXAMPLES = Path(__file__).parent / "examples"


def test_no_file_gives_the_defaults() -> None:
    assert parse_settings(None, "orchestrator.toml", SETTINGS_SCHEMA) == Settings()
    assert make_settings() == Settings()


def test_everything_is_read() -> None:
    settings = make_settings(
        """
name = "shop"
known_hosts = "ssh/known_hosts"
promotion_path = ["dev", "test", "production"]

[environments.production]
branch = "main"
file = "env/live.json"
require_deployed_in = ["test"]
soak_minutes = 30
deployed_in_ledger = "https://git.example.net/shop.git"

[environments.dev.provider]
url = "https://cmdb.example.net/{environment}?format=json"
credentials = { token = { env = "CMDB" } }

[environments.test]
provider = { command = ["bin/inventory", "--json"] }

[repositories.default]
type = "http"
url = "https://files.example.net/"

[credentials]
"env:CMDB" = "https://CMDB.example.net:443"
"file:/run/secrets/token" = "http://[2001:db8::1]:8081"
"""
    )
    token = Credentials(token=Reference(source="env", name="CMDB"))
    url = "https://cmdb.example.net/{environment}?format=json"
    assert settings == Settings(
        name="shop",
        known_hosts="ssh/known_hosts",
        promotion_path=("dev", "test", "production"),
        environments={
            "production": EnvironmentSettings(
                branch="main",
                file="env/live.json",
                rules=Rules(require_deployed_in=("test",), soak_minutes=30),
                deployed_in_ledger="https://git.example.net/shop.git",
            ),
            "dev": EnvironmentSettings(provider=EnvironmentProvider(url=url, credentials=token)),
            "test": EnvironmentSettings(provider=EnvironmentProvider(command=("bin/inventory", "--json"))),
        },
        repositories={"default": Repository(name="default", type="http", url="https://files.example.net")},
        credentials={
            "env:CMDB": "https://cmdb.example.net",
            "file:/run/secrets/token": "http://[2001:db8::1]:8081",
        },
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", '1: (top level): "format" is missing; add it'),
        ("format = '1'", "1: format: has to be 1"),
        ("format = 0", "1: format: has to be 1"),
        ("format = true", "1: format: has to be 1"),
        (
            "\nformat = 2\nnew_table = 1",
            "2: format: this file has format 2, version 0.1.0 reads format 1; install a newer",
        ),
        ("format = ", "1: (top level): this is not TOML: Invalid value"),
        ("format = 1\nnaem = 'x'", '2: naem: unknown key "naem" (did you mean "name"?)'),
        ("format = 1\nname = 'a b'", "2: name: has to be a name"),
        ("format = 1\nname = 1979-05-27", "2: name: has to be a name"),
        ("format = 1\nknown_hosts = '../x'", "2: known_hosts: has to be the path of a known_hosts file"),
        ('format = 1\nname = "a\\u0000"', "2: name: character 2 is a control or invisible character"),
        ("format = 1\n__ansible_x = 1", '2: __ansible_x: the key "__ansible_x" is Ansible\'s own'),
        (
            "format = 1\n[protection.production]\nsoak_minutes = 60",
            '3: protection.production.soak_minutes: "soak_minutes" is not implemented in',
        ),
        ("format = 1\n[environments.'a b']", '2: environments["a b"]: "a b" is no environment name'),
        (
            "format = 1\n[environments.dev]\n\nbranch = '-x'",
            "4: environments.dev.branch: has to be a branch's name",
        ),
        (
            "format = 1\n[environments.dev]\nbranch = 'a..b'",
            "3: environments.dev.branch: has to be a branch's name",
        ),
        (
            "format = 1\n[environments.dev]\nbranch = 'a.lock'",
            "3: environments.dev.branch: has to be a branch's name",
        ),
        (
            "format = 1\n[environments.dev]\nbranch = 'a/'",
            "3: environments.dev.branch: has to be a branch's name",
        ),
        (
            "format = 1\n[environments.dev]\nfile = '../a.json'",
            "3: environments.dev.file: has to be a file of the",
        ),
        (
            "format = 1\n[environments.dev]\nfile = '/a.json'",
            "3: environments.dev.file: has to be a file of the",
        ),
        (
            "format = 1\n[environments.dev]\nbranch = 'staging'\n[environments.staging]\n",
            "4: environments.staging.branch: environment dev has the branch staging already; give each its own",
        ),
        (
            "format = 1\n[environments.dev]\nfile = 'a.json'\nprovider = { command = ['a'] }",
            "4: environments.dev.provider: an environment comes from a `file` or a `provider`; remove one",
        ),
        (
            "format = 1\n[environments.dev]\nprovider = {}",
            "3: environments.dev.provider: a provider has exactly one of `url` and `command`",
        ),
        (
            "format = 1\n[environments.dev]\nprovider = { url = 'https://a.example', command = ['a'] }",
            "3: environments.dev.provider: a provider has exactly one of `url` and `command`",
        ),
        (
            "format = 1\n[environments.dev]\nprovider = 'x'",
            "3: environments.dev.provider: has to be an object {...}",
        ),
        (
            "format = 1\n[environments.dev]\nprovider = { command = 'a b' }",
            "3: environments.dev.provider.command: has to be a list of strings, the executable first",
        ),
        (
            "format = 1\n[environments.dev]\nprovider = { url = 7 }",
            "3: environments.dev.provider.url: has to be a string in quotes",
        ),
        (
            "format = 1\n[environments.dev]\nprovider = { url = 'https://u:hunter2@a.example' }",
            "3: environments.dev.provider.url: this URL holds credentials",
        ),
        (
            "format = 1\n[environments.dev]\nprovider = { url = 'x', credentials = { token = { env = 'A' } } }",
            "3: environments.dev.provider.url: this is no http or https URL",
        ),
        (
            "format = 1\n[environments.dev]\nprovider = { command = ['a'], credentials = { token = { env = 'A' } } }",
            "3: environments.dev.provider.credentials: a provider with a `command` has no credentials",
        ),
        (
            "format = 1\n[environments.dev.provider]\nurl = 'https://a.example'\ncredentials = { token = 'hunter2' }",
            "4: environments.dev.provider.credentials.token: has to be a reference to a secret",
        ),
        (
            "format = 1\n[environments.dev.provider]\nurl = 'https://a.example'\ncredentials = { token = { env = 'A' } }\n"
            "[credentials]\n",
            "4: environments.dev.provider.credentials.token: [credentials] of orchestrator.toml does not list this",
        ),
        (
            "format = 1\n[credentials]\n'A' = 'https://a.example'",
            '3: credentials.A: "A" is no reference; write',
        ),
        ("format = 1\n[credentials]\n'env:A' = 'x'", '3: credentials["env:A"]: this is no http or https URL'),
        (
            "format = 1\n[credentials]\n'env:A' = 'https://a.example/x'",
            '3: credentials["env:A"]: this has a path',
        ),
        ("format = 1\n[credentials]\n'env:A' = 7", '3: credentials["env:A"]: has to be a string in quotes'),
        (
            "format = 1\n[repositories.a]\ntype = 'http'",
            '2: repositories.a: a repository of type "http" needs "url"',
        ),
        (
            "format = 1\n[environments.prod]\nrequire_deployed_in = ['qa', 'production']",
            "3: environments.prod.require_deployed_in[1]: this is the environment itself; name one before it",
        ),
        (
            "format = 1\n[environments.prod]\nsoak_minutes = 5",
            "3: environments.prod.soak_minutes: this needs `require_deployed_in`",
        ),
        (
            "format = 1\n[environments.prod]\nrequire_deployed_in = [7]",
            "3: environments.prod.require_deployed_in[0]: is no environment name",
        ),
        ("format = 1\npromotion_path = 'dev'", "2: promotion_path: has to be a list of environments' names"),
    ],
)
def test_what_is_wrong_is_explained_with_its_line(text: str, expected: str) -> None:
    (found,) = settings_problems(text)

    assert found.startswith(f"orchestrator.toml:{expected}")
    assert "hunter2" not in found


def test_example_is_refused_by_name_only() -> None:
    assert [
        line.partition(";")[0]
        for line in settings_problems((EXAMPLES / "stack-orchestrator.toml").read_bytes())
    ] == [
        f'orchestrator.toml:{line}: protection.production.{key}: "{key}" is not implemented in version 0.1.0 yet'
        for line, key in ((15, "require_deployed_in"), (16, "soak_minutes"))
    ]


MAIN = make_settings('[environments.production]\nbranch = "main"\n[environments.dev]\n')


@pytest.mark.parametrize(
    ("branch", "environment"),
    [
        ("main", "production"),
        ("dev", "dev"),
        ("staging", "staging"),
        ("production", None),
        ("feature/x", None),
        ("", None),
        ("staging\n", None),
    ],
)
def test_branch_is_aligned_with_an_environment(branch: str, environment: str | None) -> None:
    assert environment_for_branch(MAIN, branch) == environment


@pytest.mark.parametrize(
    ("environment", "branch"), [("production", "main"), ("dev", "dev"), ("staging", "staging")]
)
def test_environment_is_aligned_with_a_branch(environment: str, branch: str) -> None:
    assert branch_for_environment(MAIN, environment) == branch


def test_environment_file_is_looked_for_at_the_root_then_in_inventories() -> None:
    assert environment_file_candidates(Settings(), "dev") == ("dev-env.json", "inventories/dev-env.json")


@pytest.mark.parametrize(("environment", "alias"), [("production", "prod"), ("prod", "production")])
def test_production_and_prod_find_each_others_file(environment: str, alias: str) -> None:
    assert environment_file_candidates(Settings(), environment) == (
        f"{environment}-env.json",
        f"inventories/{environment}-env.json",
        f"{alias}-env.json",
        f"inventories/{alias}-env.json",
    )


def test_explicit_file_is_the_only_candidate() -> None:
    settings = make_settings('[environments.dev]\nfile = "env/dev.json"\n')

    assert environment_file_candidates(settings, "dev") == ("env/dev.json",)


def test_production_and_prod_share_their_branches() -> None:
    settings = make_settings('[environments.production]\nbranch = "live"\n')
    assert branches_for_environment(settings, "production") == ("live", "prod")
    assert branches_for_environment(settings, "prod") == ("prod", "live")
    assert branches_for_environment(settings, "dev") == ("dev",)
