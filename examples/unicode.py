"""Letters outside GSM 03.38 travel as UCS2."""

from esme import show

show("79991234521", "Доброго ранку! Пакунок прибув")
