"""Networks of others: a STAC item of the Machine Learning Model extension (MLM) beside an ONNX file."""
