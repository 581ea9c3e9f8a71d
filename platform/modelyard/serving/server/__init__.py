"""The model server: MLflow models behind the Open Inference Protocol (V2), as fast as their libraries are.

Heavy packages are imported where a model needs them: a process that serves scikit-learn never imports MLflow.
"""
