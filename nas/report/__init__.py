"""The report: one offline page of a whole run, and its tables for the terminal."""

from nas.report.architecture import describe_architecture
from nas.report.data import (
    ArchitectureDetail,
    DiagramBlock,
    EvaluatedPoint,
    FrontEntry,
    HoldoutRow,
    HypervolumeHistory,
    OperatorRow,
    PredictorReport,
    ReportData,
    StageTime,
    TargetFront,
    TrainingRow,
)
from nas.report.html import write_report

__all__ = [
    "ArchitectureDetail",
    "DiagramBlock",
    "EvaluatedPoint",
    "FrontEntry",
    "HoldoutRow",
    "HypervolumeHistory",
    "OperatorRow",
    "PredictorReport",
    "ReportData",
    "StageTime",
    "TargetFront",
    "TrainingRow",
    "describe_architecture",
    "write_report",
]
