"""The estimators: scikit-learn's contract, parameters and documentation."""
