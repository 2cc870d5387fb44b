"""`greenhouse edit preset`: the keys of params.yaml that a preset names; and defaults.yaml from the schema."""

from components import params as schema
from components.core.files import write_text
from components.params import document, layout
from flows.system import params_file, paths
from flows.system.params_file import difference


def preset(name: str, /) -> None:
    """The keys that a preset names, written into params.yaml. `greenhouse run --preset NAME` only tries them.

    greenhouse edit preset cpu-40min
    greenhouse edit preset default          all keys as they ship

    Comments are kept. What changes is shown first; at a terminal it then asks. params.yaml as it was before the first
    edit is kept in params.yaml.before.

    Args:
        name: of a file of presets/, or `default`.
    """
    print(apply_preset(name))


def defaults() -> None:
    """Write defaults.yaml anew from the schema, after a change of components/params/.

    greenhouse edit defaults

    DVC watches that file for every key that params.yaml does not name, so a changed default makes its stages stale.
    """
    print(rewrite_defaults())


def with_preset(name: str) -> tuple[str, str]:
    """params.yaml as it is, and with the values of a preset; `default` has all keys as they ship.

    Raises:
        UserError: no such preset, or params.yaml is not valid, before or after.
    """
    text = paths.PARAMS.read_text() if paths.PARAMS.exists() else ""
    if name == "default":
        return text, document.params_text()
    files = schema.read(paths.PARAMS, text)
    files.params()
    over = params_file.reaching(layout.leaves(params_file.read_preset(name)), files.own)
    schema.read(paths.PARAMS, new := params_file.edited(text, over)).params()
    return text, new


def apply_preset(name: str) -> str:
    """Show what a preset changes, ask where there is somebody to ask, and write it. Returns how it ended."""
    old, new = with_preset(name)
    if old == new:
        return f"params.yaml is as the preset {name} has it; nothing changed"
    done = f"params.yaml has the preset {name}; `greenhouse plan --why` says what becomes stale"
    return params_file.offer(paths.PARAMS, old, new, done)


def rewrite_defaults() -> str:
    """Write defaults.yaml from the schema. Returns what changed."""
    path = paths.PARAMS.with_name(schema.DEFAULTS)
    old, new = path.read_text() if path.exists() else "", document.defaults_text()
    write_text(path, new)
    return "\n".join(difference(old, new, path.name)) or f"{path.name} is as the schema has it; nothing changed"
