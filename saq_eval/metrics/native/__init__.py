"""The metrics in torch: whole images × steps at once, on the network's device.

Each function here is (task, **settings) -> scores, float64 (n,), or curves, float64 (n, steps), as `Metric.score`. It gives
the scores that Quantus gives, from the same random draws, in fewer passes of the network:

- **What depends on the network and the images only** is computed once for all methods (`Task.shared`), such as the logits
  of images with random pixels hidden. So methods are compared under the same draws.
- **Equal pictures are passed once.** Hiding a black pixel behind black changes nothing; two orders of tied pixels often hide
  the same pixels (`hidden`).
- **Maps are read all at once** where no network is needed (`complexity`).
- **Changed copies of an image are explained in one call**, and metrics under the same noise share them (`robustness`).
- **Curves are shared** by the metrics that read them (`saq_eval.metrics.base.once_per_task`).

`saq-eval compare --engine quantus` uses Quantus itself, which every function here is tested against.
"""
