"""Types that a skops file may hold beyond those skops itself trusts: reviewed, a line of reason each.

skops refuses to build any type that isn't listed, so a model file can't run code of its own. A type belongs here
if restoring it only fills plain data (arrays, numbers, strings, other reviewed types) into an object.
"""

REVIEWED = (
    "sklearn.tree._tree.Tree",  # compiled; its __setstate__ checks shapes and dtypes of the node array it copies
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",  # three arrays, nothing else
)
