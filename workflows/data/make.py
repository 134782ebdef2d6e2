"""Makes the data sets of the other tasks from digits.csv: `python make.py` in this folder. Needs NumPy."""

import numpy as np

rows = np.loadtxt("digits.csv", delimiter=",", skiprows=1, dtype=np.int64)
pixels, digits = rows[:, :64].astype(np.uint8), rows[:, 64]

# Several labels an image: what can be said of a digit without naming it.
loops = np.isin(digits, [0, 6, 8, 9])
attributes = np.stack([digits % 2 == 0, digits > 4, loops, np.isin(digits, [2, 3, 5, 7])], axis=1)
np.save("attributes.npy", pixels)
np.save("attributes-labels.npy", attributes.astype(np.uint8))

# A class for each pixel: two digits at random places of a noisy field, even ones of class 1, odd ones of class 2. A pixel
# belongs to a digit where its ink is at least 6 of 16.
random = np.random.Generator(np.random.PCG64(7))
count, side = 500, 20
fields = random.integers(0, 5, (count, side, side))
masks = np.zeros((count, side, side), np.uint8)
for field, mask in zip(fields, masks):
    for top in (0, 11):
        at = random.integers(len(digits))
        glyph = pixels[at].reshape(8, 8)
        y, x = top + random.integers(0, 2), random.integers(0, side - 7)
        field[y : y + 8, x : x + 8] = np.maximum(field[y : y + 8, x : x + 8], glyph)
        ink = glyph >= 6
        mask[y : y + 8, x : x + 8][ink] = 1 if digits[at] % 2 == 0 else 2
np.save("fields.npy", fields.astype(np.uint8).reshape(count, 1, side, side))
np.save("fields-labels.npy", masks)

# Ink or ground: a digit at a random place, faint or strong, under noise. A single pixel seldom tells, those around it do. Faint
# digits are rare: of a random batch, few teach them.
random = np.random.Generator(np.random.PCG64(8))
count, side = 600, 16
strokes = random.normal(0, 40, (count, side, side))
masks = np.zeros((count, side, side), np.uint8)
for stroke, mask, at in zip(strokes, masks, random.permutation(len(digits))):
    y, x = random.integers(0, side - 7, 2)
    glyph = pixels[at].reshape(8, 8)
    strength = random.choice([4, 10], p=[0.2, 0.8])
    stroke[y : y + 8, x : x + 8] += strength * glyph
    mask[y : y + 8, x : x + 8] = glyph >= 6
np.save("strokes.npy", np.clip(strokes + 60, 0, 255).astype(np.uint8).reshape(count, 1, side, side))
np.save("strokes-labels.npy", masks)
