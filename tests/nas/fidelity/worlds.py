"""A tiny supernet on digits, as a recipe."""

from nas.recipe import Recipe, recipe_from


def recipe() -> Recipe:
    return recipe_from(
        {
            "name": "tiny",
            "space": {
                "name": "mobile",
                "options": {
                    "resolutions": [8],
                    "stem_width": 8,
                    "widths": [[8, 12, 16], [16, 24]],
                    "depths": [[1, 2], [1]],
                    "strides": [1, 2],
                    "kernels": [1, 3],
                    "expands": [1, 2],
                    "group_sizes": [1],
                    "dilations": [1],
                    "sparsities": [0.0],
                },
            },
            "task": {"data": "digits", "limit": 500, "validation_share": 0.4},
            "supernet": {"epochs": 2, "batch_size": 50, "precision": "fp32"},
            "search": {"objectives": ["error", "macs"], "workers": 1, "recalibration_batches": 1},
        }
    )
