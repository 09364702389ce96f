from saq_eval.core.printing import prints_held_back


def test_prints_go_to_the_standard_error(capsys):
    with prints_held_back():
        print("a network says")
    print("a command says")
    assert tuple(capsys.readouterr()) == ("a command says\n", "a network says\n")
