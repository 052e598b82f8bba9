"""Reports: sections as data (`content`), answers from numbers (`verdicts`), one HTML file and tables (`writing`)."""
