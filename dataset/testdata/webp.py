"""Writes webp.txt: files that cwebp made, and what dwebp makes of them without smoothing chroma, for comparison with ours.

    python3 webp.py > webp.txt

Needs Pillow, and cwebp and dwebp of libwebp (Debian: python3-pil, webp).
"""
import subprocess
import tempfile

from PIL import Image

W, H = 21, 18  # no whole macroblocks


def run(*command):
    return subprocess.run(command, check=True, capture_output=True).stdout


def image(mode):
    im = Image.new(mode, (W, H))
    for y in range(H):
        for x in range(W):
            im.putpixel((x, y), (x * 255 // W, y * 255 // H, (x * y * 5) % 256, 55 + x * 200 // W)[: len(mode)])
    return im


print("# of", run("cwebp", "-version").decode().split()[0], "- name height width file bytes [3,H,W]; made by webp.py")
with tempfile.TemporaryDirectory() as d:
    for mode in ("RGB", "RGBA"):
        image(mode).save(f"{d}/x.png")
        for name, flags in (("lossy", ["-q", "80"]), ("strong", ["-q", "5", "-f", "90"]), ("lossless", ["-lossless", "-exact"])):
            run("cwebp", "-quiet", *flags, f"{d}/x.png", "-o", f"{d}/x.webp")
            run("dwebp", "-quiet", "-nofancy", f"{d}/x.webp", "-o", f"{d}/y.png")
            planes = Image.open(f"{d}/y.png").split()[:3]
            print(f"{name}-{mode.lower()}", H, W, open(f"{d}/x.webp", "rb").read().hex(), "".join(p.tobytes().hex() for p in planes))
