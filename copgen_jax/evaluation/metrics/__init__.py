"""Metrics: small pure functions on NumPy arrays, each with its explanation as data beside it.

Letters: n real images (or draws), m images of a model, C bands, H W pixels, D length of a vector. Random choices take a
`numpy.random.Generator`. Nothing is masked or averaged away silently: what cannot be computed is NaN, and
`stochastic.summarise` counts it; what makes no sense (other bands, other shapes) raises `InputError`.

    distribution, stochastic   is the set of samples like the set of acquisitions? (the published benchmark)
    ensemble, ranks,
    calibration                CRPS, energy score, spread and skill, rank histograms; per band and land-cover class
    narrowing                  what each added condition takes away from the spread
    regression, segmentation,
    places_dates, runs, tables errors of single samples against the truth (leave-one-out, best of n)
    profiles                   pixels of the spectral-profile figure
    physics, speckle,
    power_spectrum             indices, consistency between products, SAR statistics, smoothing
    catalogue                  all explanations, by name
"""
