"""A chart as its menu shows it."""


def view(figure, label):
    """Return a figure after the menu's choice."""
    button = next(b for b in figure.layout.updatemenus[0].buttons if b.label == label)
    data, layout, traces = button.args
    for key, values in data.items():
        for trace, value in zip(traces, values, strict=True):
            if value is not None:
                figure.data[trace][key] = value
    figure.update_layout(layout)
    return figure
