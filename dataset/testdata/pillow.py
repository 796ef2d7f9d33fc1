"""Writes pillow.txt: what Pillow makes of a small image, for comparison with ours.

    python3 pillow.py > pillow.txt
"""
from PIL import Image, ImageEnhance, ImageOps

W, H = 11, 9


def image(mode):
    im = Image.new(mode, (W, H))
    px = im.load()
    for y in range(H):
        for x in range(W):
            v = [(x * 37 + y * 91 + c * 53 + x * y * 7) % 256 for c in range(3)]
            px[x, y] = tuple(v) if mode == "RGB" else v[0]
    return im


def show(name, im, *args):
    planes = "".join(p.tobytes().hex() for p in im.split())
    print(name, im.mode, im.width, im.height, *args, planes)


print("# Pillow", Image.__version__, "- operation mode width height arguments bytes [C,H,W]; made by pillow.py")
for mode in ("RGB", "L"):
    im = image(mode)
    for size, box in (((5, 4), None), ((20, 23), None), ((6, 6), (2, 1, 9, 7)), ((11, 3), (0, 0, 11, 9)), ((2, 1), (4, 0, 7, 9))):
        box = box or (0, 0, W, H)
        show("resize", im.resize(size, Image.BILINEAR, box=box), *box)
    for f in (0.35, 1.6, 0.0, 1.0):
        show("brightness", ImageEnhance.Brightness(im).enhance(f), f)
        show("contrast", ImageEnhance.Contrast(im).enhance(f), f)
        show("sharpness", ImageEnhance.Sharpness(im).enhance(f), f)
        if mode == "RGB":
            show("saturation", ImageEnhance.Color(im).enhance(f), f)
    dark = im.point(lambda v: 40 + v // 3)
    show("autocontrast", ImageOps.autocontrast(dark))
    show("equalize", ImageOps.equalize(dark.resize((64, 48), Image.BILINEAR)))
    for bits in (4, 7):
        show("posterize", ImageOps.posterize(im, bits), bits)
    for t in (0, 100, 255):
        show("solarize", ImageOps.solarize(im, t), t)
    for a in (17, -30):
        show("rotate", im.rotate(a, Image.NEAREST), a)
    for k in (0.3, -0.12):
        show("shear-x", im.transform(im.size, Image.AFFINE, (1, k, 0, 0, 1, 0), Image.NEAREST), k)
        show("shear-y", im.transform(im.size, Image.AFFINE, (1, 0, 0, k, 1, 0), Image.NEAREST), k)
    for d in (3, -2):
        show("translate-x", im.transform(im.size, Image.AFFINE, (1, 0, -d, 0, 1, 0), Image.NEAREST), d)
        show("translate-y", im.transform(im.size, Image.AFFINE, (1, 0, 0, 0, 1, -d), Image.NEAREST), d)
