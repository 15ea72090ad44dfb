"""Every archive that can be downloaded: its place, size and hashes, in the one table.

Sources: torchvision.datasets.Imagenette (md5 of ImageNette v2), TFDS imagenette/checksums.tsv (sha256 and sizes of
v1 and v2), fastai data/checks.txt (sizes), Catalyst contrib/datasets (md5 of ImageWoof v2; its values of ImageNette v2
after July 2021, when the archives were replaced, equal torchvision's). Nothing trustworthy was found for ImageWoof v1,
which is why it is rebuilt from v2. NABirds stands behind a form and has no entry.
"""

from sslbench.data.spec import Archive

BASE = "https://s3.amazonaws.com/fast-ai-imageclas/"


def _fastai(name: str, size: int, md5: str | None = None, sha256: str | None = None) -> tuple[str, Archive]:
    file = f"{name}.tgz"
    return name, Archive(url=BASE + file, file=file, size=size, md5=md5, sha256=sha256)


# source name -> archive
ARCHIVES: dict[str, Archive] = dict(
    [
        _fastai(
            "imagenette",
            1_556_495_367,
            sha256="1bd650bc16884ca88e4f0f537ed8569b1f8d7ae865d37eba8ecdd87d9cd9dcfa",
        ),
        _fastai(
            "imagenette-320",
            341_289_752,
            sha256="0e3ac85d7f3fd0a63d5e27d85c68511be9ac4dae260345b6f7434a0d4fa24b3f",
        ),
        _fastai(
            "imagenette-160",
            98_752_094,
            sha256="4bacf19aa3f2454e330ac366c98ac1e470ccc6bebca8ff63ecc7f339cb2ead11",
        ),
        _fastai(
            "imagenette2",
            1_557_161_267,
            md5="fe2fc210e6bb7c5664d602c3cd71e612",
            sha256="6cbfac238434d89fe99e651496f0812ebc7a10fa62bd42d6874042bf01de4efd",
        ),
        _fastai(
            "imagenette2-320",
            341_663_724,
            md5="3df6f0d01a2c9592104656642f5e78a3",
            sha256="569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c",
        ),
        _fastai(
            "imagenette2-160",
            99_003_388,
            md5="e793b78cc4c9e9a4ccc0c1155377a412",
            sha256="64d0c4859f35a461889e0147755a999a48b49bf38a7e0f9bd27003f10db02fe5",
        ),
        _fastai("imagewoof2", 1_343_715_595, md5="9aafe18bcdb1632c4249a76c458465ba"),
        _fastai("imagewoof2-320", 328_387_740, md5="0f46d997ec2264e97609196c95897a44"),
        _fastai("imagewoof2-160", 92_612_825, md5="3d200a7be99704a0d7509be2a9fbfe15"),
    ]
)
