"""What torchvision's sets of image classification download, where they put it, and how many images they hold.

URLs, MD5 and places are those of torchvision.datasets (0.29), and a test holds them against what its classes ask for.
StanfordCars' URL is dead. Counts are published ones: torchvision has none.
"""

from typing import NamedTuple


class File(NamedTuple):
    url: str
    md5: str | None  # torchvision has none for FGVCAircraft
    where: str  # folder below torchvision's root that it is unpacked into, or put into where it is no archive

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[1]


class Published(NamedTuple):
    places: tuple[str, ...]  # below torchvision's root: the folder of the images, or what holds the arrays
    counts: tuple[int, int] | None  # training and test images; None where the set has no test images
    classes: int
    files: tuple[File, ...]


# name, training+test images, classes, places; then a line for each file: URL, MD5, folder
_TABLE = """
CIFAR10 50000+10000 10 cifar-10-batches-py
    https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz c58f30108f718f92721af3b95e74349a
CIFAR100 50000+10000 100 cifar-100-python
    https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz eb9058c3a382ffc7106e4002c42a8d85
Caltech101 - 101 caltech101
    https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip 3138e1922a9193bfa496528edbbc45d0 caltech101
Caltech256 - 257 caltech256
    https://data.caltech.edu/records/nyy15-4j048/files/256_ObjectCategories.tar 67b4f42ca05d46448c6bb8ecd2220f6d caltech256
Country211 31650+21100 211 country211
    https://openaipublic.azureedge.net/clip/data/country211.tgz 84988d7644798601126c29e9877aab6a
DTD 1880+1880 47 dtd
    https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz fff73e5086ae6bdbea199a49dfb8a4c1 dtd
EMNIST 112800+18800 47 EMNIST/raw
    https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip 58c8d27c78d21e728a6bc7b3cc06412e EMNIST/raw
EuroSAT - 10 eurosat
    https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip c8fa014336c82ac7804f0398fcb19387 eurosat
FGVCAircraft 3334+3333 100 fgvc-aircraft-2013b
    https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz -
FashionMNIST 60000+10000 10 FashionMNIST/raw
    http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz 8d4fb7e6c68d591d4c3dfef9ec88bf0d FashionMNIST/raw
    http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-labels-idx1-ubyte.gz 25c81989df183df01b3e8a0aad5dffbe FashionMNIST/raw
    http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-images-idx3-ubyte.gz bef4ecab320f06d8554ea6380940ec79 FashionMNIST/raw
    http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-labels-idx1-ubyte.gz bb300cfdad3c16e7a12a480ee83cd310 FashionMNIST/raw
Flowers102 1020+6149 102 flowers-102
    https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flowers.tgz 52808999861908f626f3c1f4e79d11fa flowers-102
    https://www.robots.ox.ac.uk/~vgg/data/flowers/102/imagelabels.mat e0620be6f572b9609742df49c70aed4d flowers-102
    https://www.robots.ox.ac.uk/~vgg/data/flowers/102/setid.mat a5357ecc9cb78c4bef273ce3793fc85c flowers-102
Food101 75750+25250 101 food-101
    http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz 85eeb15f3717b99a5da872d97d918f87
GTSRB 26640+12630 43 gtsrb
    https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/GTSRB-Training_fixed.zip 513f3c79a4c5141765e10e952eaa2478 gtsrb
    https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/GTSRB_Final_Test_Images.zip c7e4e6327067d32654124b0fe9e82185 gtsrb
    https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/GTSRB_Final_Test_GT.zip fe31e9c9270bbcd7b84b7f21a9d9d9e5 gtsrb
KMNIST 60000+10000 10 KMNIST/raw
    http://codh.rois.ac.jp/kmnist/dataset/kmnist/train-images-idx3-ubyte.gz bdb82020997e1d708af4cf47b453dcf7 KMNIST/raw
    http://codh.rois.ac.jp/kmnist/dataset/kmnist/train-labels-idx1-ubyte.gz e144d726b3acfaa3e44228e80efcd344 KMNIST/raw
    http://codh.rois.ac.jp/kmnist/dataset/kmnist/t10k-images-idx3-ubyte.gz 5c965bf0a639b31b8f53240b1b52f4d7 KMNIST/raw
    http://codh.rois.ac.jp/kmnist/dataset/kmnist/t10k-labels-idx1-ubyte.gz 7320c461ea6c1c855c0b718fb2a4b134 KMNIST/raw
MNIST 60000+10000 10 MNIST/raw
    https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz f68b3c2dcbeaaa9fbdd348bbdeb94873 MNIST/raw
    https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz d53e105ee54ea40749a09fcbcd1e9432 MNIST/raw
    https://ossci-datasets.s3.amazonaws.com/mnist/t10k-images-idx3-ubyte.gz 9fb629c4189551a2d022fa330f9573f3 MNIST/raw
    https://ossci-datasets.s3.amazonaws.com/mnist/t10k-labels-idx1-ubyte.gz ec29112dd5afa0611ce80d1b7f02629c MNIST/raw
OxfordIIITPet 3680+3669 37 oxford-iiit-pet
    https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz 5c4f3ee8e5d25df40f4fd59a7f44e54c oxford-iiit-pet
    https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz 95a8c909bbe2e81eed6a22bccdf3f68f oxford-iiit-pet
QMNIST 60000+60000 10 QMNIST/raw
    https://raw.githubusercontent.com/facebookresearch/qmnist/master/qmnist-train-images-idx3-ubyte.gz ed72d4157d28c017586c42bc6afe6370 QMNIST/raw
    https://raw.githubusercontent.com/facebookresearch/qmnist/master/qmnist-train-labels-idx2-int.gz 0058f8dd561b90ffdd0f734c6a30e5e4 QMNIST/raw
    https://raw.githubusercontent.com/facebookresearch/qmnist/master/qmnist-test-images-idx3-ubyte.gz 1394631089c404de565df7b7aeaf9412 QMNIST/raw
    https://raw.githubusercontent.com/facebookresearch/qmnist/master/qmnist-test-labels-idx2-int.gz 5b5b05890a5e13444e108efe57b788aa QMNIST/raw
RenderedSST2 6920+1821 2 rendered-sst2
    https://openaipublic.azureedge.net/clip/data/rendered-sst2.tgz 2384d08e9dcfa4bd55b324e610496ee5
SEMEION - 10 semeion.data
    http://archive.ics.uci.edu/ml/machine-learning-databases/semeion/semeion.data cb545d371d2ce14ec121470795a77432
STL10 5000+8000 10 stl10_binary
    http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz 91f7769df0f17e558f3565bffb0c7dfb
SUN397 - 397 SUN397
    http://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz 8ca2778205c41d23104230ba66911c7a
SVHN 73257+26032 10 train_32x32.mat test_32x32.mat
    http://ufldl.stanford.edu/housenumbers/train_32x32.mat e26dedcc434d2e4c54c9b2d4a06d8373
    http://ufldl.stanford.edu/housenumbers/test_32x32.mat eb5a983be6a315427106f1b164d9cef3
StanfordCars 8144+8041 196 stanford_cars
USPS 7291+2007 10 usps.bz2 usps.t.bz2
    https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/usps.bz2 ec16c51db3855ca6c91edd34d0e9b197
    https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/usps.t.bz2 8ea070ee2aca1ac39742fdd1ef5ed118
"""  # noqa: E501


def _parsed(table: str) -> dict[str, Published]:
    found: dict[str, Published] = {}
    for line in table.strip().splitlines():
        words = line.split()
        if line.startswith(" "):
            name = next(reversed(found))
            file = File(words[0], None if words[1] == "-" else words[1], (words[2:] or [""])[0])
            found[name] = found[name]._replace(files=(*found[name].files, file))
        else:
            train, _, test = words[1].partition("+")
            found[words[0]] = Published(tuple(words[3:]), (int(train), int(test)) if test else None, int(words[2]), ())
    return found


SETS = _parsed(_TABLE)
