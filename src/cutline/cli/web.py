"""The command that makes a static web page of a captioner: web."""

from pathlib import Path

import click

from cutline.cli.options import model_option, overwrite_option, quiet_option
from cutline.cli.progress import Bars, note
from cutline.errors import plural
from cutline.webapp.runtime import INTEGRITY, NAME, TARBALL, VERSION


@click.command()
@click.argument("out", type=Path)
@model_option
@click.option(
    "--runtime",
    type=click.Path(path_type=Path, exists=True),
    help=f"The npm package {NAME}: a folder, or the .tgz of `npm pack {NAME}`.",
)
@click.option(
    "--download", is_flag=True, help=f"Download {NAME} {VERSION} from registry.npmjs.org."
)
@overwrite_option
@quiet_option
def web(
    out: Path, model: Path | str | None, runtime: Path | None, download: bool, overwrite: bool
) -> None:
    """Write a web page that captions pictures in the browser into the folder OUT.

    Any static host can serve it, and after the first visit it works offline. Pictures are not sent
    anywhere. The page needs onnxruntime-web, which is not part of cutline: name a copy of its npm
    package with --runtime, or use --download, which keeps the archive beside OUT for next time.
    Run the command again to update OUT; other files in it stay.
    """
    if (runtime is None) == (not download):
        raise click.UsageError(
            f"name the npm package {NAME} with --runtime, or add --download to fetch {VERSION} "
            f"({TARBALL.size / 1e6:.0f} MB) from registry.npmjs.org"
        )
    from cutline.inference.captioner import load
    from cutline.webapp.runtime import download_runtime, read_runtime
    from cutline.webapp.site import write_site

    captioner = load(model)
    if runtime is None:
        note(f"{TARBALL.address}, {INTEGRITY}")
        runtime, bars = out.absolute().parent / TARBALL.name, Bars()
        for event in download_runtime(runtime.parent):
            bars.show("downloading", event.done, event.total, unit="B")
    sizes = write_site(out, captioner, read_runtime(runtime), overwrite=overwrite)
    note(f"{out}: {sum(sizes.values()) / 1e6:.1f} MB in {plural(len(sizes), 'file')}")
    note(f"`python -m http.server -d {out}` shows it at http://localhost:8000")
