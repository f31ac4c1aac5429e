"""Made-up seismic sections with salt, for the built-in survey.

A section is modelled as an interpreter would explain one: layers are laid down flat, folded, tilted and faulted; salt
rises through them, drags them up along its flanks and cuts them off; the contrasts of acoustic impedance between
layers reflect a Ricker wavelet; noise, uneven illumination and the display's gain complete the image. Positions are in
samples (pixels); a section maps rows to depths in feet.

The terms are those of R. E. Sheriff, Encyclopedic Dictionary of Applied Geophysics (SEG); the wavelet is N. Ricker's
(1953), the shapes of salt are those that M. P. A. Jackson and M. R. Hudec, Salt Tectonics (2017), describe.

The order of the random numbers is part of the format: the demo's scores depend on it.
"""
